"""Whether the faults really happened: a run in which nothing broke shows nothing."""

from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import Run
from raft_testbed.verdict.finding import Finding


def judge_coverage(run: Run) -> Finding:
    """Every fault that was not skipped must have evidence, and all of it must hold."""
    verdicts = {id(fault): fault_verdict(fault) for fault in run.faults}
    injected = [fault for fault in run.faults if fault.skipped is None]
    skipped = [f"{fault.fault} was skipped: {fault.skipped}" for fault in run.faults if fault.skipped is not None]
    details = [line for fault in injected for line in _lines(fault)] + skipped
    verdict = worst(verdicts[id(fault)] for fault in injected)
    bad = [fault for fault in injected if verdicts[id(fault)] is verdict and verdict is not Verdict.OK]
    if not run.faults:
        return Finding("coverage", Verdict.OK, "no fault was to happen")
    if bad:
        word = (
            "did not have the expected effect"
            if verdict is Verdict.VIOLATION
            else "may not have had the expected effect"
        )
        summary = f"{len(bad)} of {len(injected)} faults {word}: {', '.join(map(str, bad))}"
    elif injected:
        summary = f"all {len(injected)} faults happened" + (f"; {len(skipped)} skipped" if skipped else "")
    else:
        verdict, summary = Verdict.UNKNOWN, f"all {len(skipped)} faults were skipped"
    return Finding("coverage", verdict, summary, details)


def fault_verdict(fault: FaultRecord) -> Verdict:
    """Whether one fault happened."""
    if not fault.evidence:
        return Verdict.UNKNOWN
    words = {True: Verdict.OK, False: Verdict.VIOLATION, None: Verdict.UNKNOWN}
    return worst(words[evidence.holds] for evidence in fault.evidence)


def _lines(fault: FaultRecord) -> list[str]:
    if not fault.evidence:
        return [f"{fault}: there is no evidence"]
    words = {True: "seen", False: "not seen", None: "nobody could tell"}
    return [f"{fault}: expected: {e.expected}; {words[e.holds]}: {e.observed}" for e in fault.evidence]
