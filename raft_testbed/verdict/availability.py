"""How long no write was acknowledged, overall and around each fault, against what was promised for it."""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from raft_testbed.checker.verdict import Verdict
from raft_testbed.faults import FaultRecord
from raft_testbed.history import Operation
from raft_testbed.timestamps import parse_timestamp
from raft_testbed.verdict.directory import ClientLog, Run
from raft_testbed.verdict.finding import Finding


@dataclass(frozen=True, slots=True)
class Gap:
    """A time, mostly without an acknowledged write; in seconds since 1970."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fault cost."""

    fault: FaultRecord
    gap: Gap | None
    """The longest time without an acknowledged write that overlaps the fault; None: clients were not at work."""

    @property
    def verdict(self) -> Verdict | None:
        """None: nothing was promised, or the fault was skipped."""
        if self.fault.skipped is not None or self.fault.unavailability_slo_seconds is None:
            return None
        if self.gap is None:
            return Verdict.UNKNOWN
        return Verdict.OK if self.gap.seconds <= self.fault.unavailability_slo_seconds else Verdict.VIOLATION


def costs(run: Run) -> list[Cost]:
    """What each fault cost, in their order."""
    gaps = gaps_between_writes(run)
    return [Cost(fault, None if fault.skipped is not None else _longest(gaps, fault)) for fault in run.faults]


def gaps_between_writes(run: Run) -> list[Gap]:
    """From one acknowledged write to the next, while clients were at work."""
    periods = [period for client in run.clients if (period := _at_work(client)) is not None]
    if not periods:
        return []
    began, ended = min(period.began for period in periods), max(period.ended for period in periods)
    moments = sorted(
        operation.completed_at / 1e9
        for operation in run.operations
        if _is_acknowledged_write(operation) and began <= operation.completed_at / 1e9 <= ended
    )
    edges = [began, *moments, ended]
    return [Gap(one, other) for one, other in pairwise(edges)]


def judge_availability(run: Run) -> Finding:
    """No fault may cost more than was promised for it, nor may calm times, where `run.json` promises something."""
    gaps = gaps_between_writes(run)
    if not gaps:
        return Finding("availability", Verdict.UNKNOWN, "no client was at work")
    longest = max(gaps, key=lambda gap: gap.seconds)
    calm = max((gap.seconds for gap in gaps if not _is_in_a_fault(gap, run.faults)), default=0.0)
    calm_max = run.description.get("unavailability_slo_seconds")
    found = costs(run)
    too_long = [cost for cost in found if cost.verdict is Verdict.VIOLATION]
    not_known = [cost for cost in found if cost.verdict is Verdict.UNKNOWN]
    promised = [cost for cost in found if cost.verdict is not None]
    details = [_describe(cost) for cost in found if cost.fault.skipped is None]
    data = {
        "longest_seconds": round(longest.seconds, 6),
        "longest_calm_seconds": round(calm, 6),
        "faults": [
            {
                "fault": str(cost.fault),
                "unavailable_seconds": None if cost.gap is None else round(cost.gap.seconds, 6),
                "unavailability_slo_seconds": cost.fault.unavailability_slo_seconds,
            }
            for cost in found
        ],
    }
    if too_long:
        return Finding("availability", Verdict.VIOLATION, _describe(too_long[0]), details, data)
    if calm_max is not None and calm > calm_max:
        summary = f"without any fault: {calm:.3f} s without an acknowledged write; at most {calm_max:g} s are promised"
        return Finding("availability", Verdict.VIOLATION, summary, details, data)
    if not_known:
        return Finding("availability", Verdict.UNKNOWN, _describe(not_known[0]), details, data)
    summary = (
        f"{len(promised)} promises kept; longest time without an acknowledged write: {longest.seconds:.3f} s, "
        f"{calm:.3f} s without a fault"
    )
    return Finding("availability", Verdict.OK, summary, details, data)


def _describe(cost: Cost) -> str:
    fault = cost.fault
    if cost.gap is None:
        return f"{fault}: no client was at work"
    promised = fault.unavailability_slo_seconds
    promise = "nothing is promised" if promised is None else f"at most {promised:g} s are promised"
    return f"{fault}: {cost.gap.seconds:.3f} s without an acknowledged write; {promise}"


def _is_in_a_fault(gap: Gap, faults: list[FaultRecord]) -> bool:
    return any(
        fault.skipped is None and fault.injected_at <= gap.ended and gap.began <= fault.recovered_at for fault in faults
    )


def _longest(gaps: list[Gap], fault: FaultRecord) -> Gap | None:
    first = bisect_left(gaps, fault.injected_at, key=lambda gap: gap.ended)
    overlapping = [gap for gap in gaps[first:] if gap.began <= fault.recovered_at]
    return max(overlapping, key=lambda gap: gap.seconds, default=None)


def _at_work(client: ClientLog) -> Gap | None:
    """From the first call to when clients began no more operations."""
    if not client.operations:
        return None
    final_reads = client.marks.get("final_reads_started")
    last = max(operation.completed_at or operation.invoked_at for operation in client.operations) / 1e9
    ended = last if final_reads is None else parse_timestamp(final_reads["ts"])
    return Gap(client.operations[0].invoked_at / 1e9, ended)


def _is_acknowledged_write(operation: Operation) -> bool:
    return operation.outcome == "ok" and operation.f != "read"
