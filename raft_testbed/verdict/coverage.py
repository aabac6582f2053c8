"""Fault coverage: every fault had its effect. A run without effective faults shows nothing."""

from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import Run
from raft_testbed.verdict.finding import Finding


def judge_coverage(run: Run) -> Finding:
    """Require evidence for every fault that was not skipped, and all of it must hold."""
    verdicts = {id(fault): fault_verdict(fault) for fault in run.faults}
    injected = [fault for fault in run.faults if fault.skipped is None]
    skipped = [f"{fault.fault} was skipped: {fault.skipped}" for fault in run.faults if fault.skipped is not None]
    details = [line for fault in injected for line in _describe_evidence(fault)] + skipped
    verdict = worst(verdicts[id(fault)] for fault in injected)
    deciding = [fault for fault in injected if verdicts[id(fault)] is verdict and verdict is not Verdict.OK]
    if not run.faults:
        return Finding("coverage", Verdict.OK, "the scenario has no faults")
    if deciding:
        effect = "did not have" if verdict is Verdict.VIOLATION else "may not have had"
        names = ", ".join(map(str, deciding))
        summary = f"{len(deciding)} of {len(injected)} faults {effect} the expected effect: {names}"
    elif injected:
        summary = f"{len(injected)} of {len(injected)} faults had the expected effect" + (
            f"; {len(skipped)} skipped" if skipped else ""
        )
    else:
        verdict, summary = Verdict.UNKNOWN, f"all {len(skipped)} faults were skipped"
    return Finding("coverage", verdict, summary, details)


def fault_verdict(fault: FaultRecord) -> Verdict:
    """Return whether one fault had its effect; unknown without evidence."""
    if not fault.evidence:
        return Verdict.UNKNOWN
    verdicts = {True: Verdict.OK, False: Verdict.VIOLATION, None: Verdict.UNKNOWN}
    return worst(verdicts[evidence.holds] for evidence in fault.evidence)


def _describe_evidence(fault: FaultRecord) -> list[str]:
    if not fault.evidence:
        return [f"{fault}: no evidence"]
    words = {True: "observed", False: "not observed", None: "undetermined"}
    return [f"{fault}: expected: {item.expected}; {words[item.holds]}: {item.observed}" for item in fault.evidence]
