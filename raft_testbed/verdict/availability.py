"""Availability: the longest time without an acknowledged write, overall and in each fault interval, against the SLO."""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from raft_testbed.checker.verdict import Verdict
from raft_testbed.events import event_time
from raft_testbed.faults import FaultRecord
from raft_testbed.history import Operation
from raft_testbed.verdict.directory import ClientLog, Run
from raft_testbed.verdict.finding import Finding

NAME = "availability"


@dataclass(frozen=True, slots=True)
class Interval:
    """A time interval, in seconds since 1970."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Unavailability:
    """The unavailability that a fault caused."""

    fault: FaultRecord
    longest: Interval | None
    """Longest time without an acknowledged write that overlaps the fault interval; None: no client was active."""

    @property
    def verdict(self) -> Verdict | None:
        """Whether the SLO was met; None: the fault has no SLO, or was skipped."""
        if self.fault.skipped is not None or self.fault.unavailability_slo_seconds is None:
            return None
        if self.longest is None:
            return Verdict.UNKNOWN
        return Verdict.OK if self.longest.seconds <= self.fault.unavailability_slo_seconds else Verdict.VIOLATION


def unavailability_by_fault(run: Run) -> list[Unavailability]:
    """Return the unavailability in each fault interval, in the order of the faults."""
    gaps = gaps_between_writes(run)
    return [Unavailability(fault, None if fault.skipped is not None else _longest(gaps, fault)) for fault in run.faults]


def gaps_between_writes(run: Run) -> list[Interval]:
    """Return the intervals between acknowledged writes while clients were active."""
    periods = [period for client in run.clients if (period := _active(client)) is not None]
    if not periods:
        return []
    began, ended = min(period.began for period in periods), max(period.ended for period in periods)
    moments = sorted(
        operation.completed_at / 1e9
        for operation in run.operations
        if _is_acknowledged_write(operation) and began <= operation.completed_at / 1e9 <= ended
    )
    edges = [began, *moments, ended]
    return [Interval(one, other) for one, other in pairwise(edges)]


def judge_availability(run: Run) -> Finding:
    """Require that every fault meets its SLO, and that fault-free times meet the one in run.json, if it states one."""
    gaps = gaps_between_writes(run)
    if not gaps:
        return Finding(NAME, Verdict.UNKNOWN, "no client was active")
    longest = max(gaps, key=lambda gap: gap.seconds)
    fault_free = max((gap.seconds for gap in gaps if not _overlaps_a_fault(gap, run.faults)), default=0.0)
    fault_free_slo = run.description.get("unavailability_slo_seconds")
    found = unavailability_by_fault(run)
    violations = [item for item in found if item.verdict is Verdict.VIOLATION]
    unknown = [item for item in found if item.verdict is Verdict.UNKNOWN]
    met = [item for item in found if item.verdict is Verdict.OK]
    details = [_describe(item) for item in found if item.fault.skipped is None]
    data = {
        "longest_seconds": round(longest.seconds, 6),
        "longest_fault_free_seconds": round(fault_free, 6),
        "faults": [
            {
                "fault": str(item.fault),
                "unavailable_seconds": None if item.longest is None else round(item.longest.seconds, 6),
                "unavailability_slo_seconds": item.fault.unavailability_slo_seconds,
            }
            for item in found
        ],
    }
    if violations:
        return Finding(NAME, Verdict.VIOLATION, _describe(violations[0]), details, data)
    if fault_free_slo is not None and fault_free > fault_free_slo:
        summary = f"without a fault: {fault_free:.3f} s without an acknowledged write; the SLO is {fault_free_slo:g} s"
        return Finding(NAME, Verdict.VIOLATION, summary, details, data)
    if unknown:
        return Finding(NAME, Verdict.UNKNOWN, _describe(unknown[0]), details, data)
    summary = (
        f"{len(met)} of {len(met)} SLOs met; longest time without an acknowledged write: {longest.seconds:.3f} s, "
        f"{fault_free:.3f} s without a fault"
    )
    return Finding(NAME, Verdict.OK, summary, details, data)


def _describe(item: Unavailability) -> str:
    if item.longest is None:
        return f"{item.fault}: no client was active"
    seconds = item.fault.unavailability_slo_seconds
    slo = "no SLO" if seconds is None else f"the SLO is {seconds:g} s"
    return f"{item.fault}: {item.longest.seconds:.3f} s without an acknowledged write; {slo}"


def _overlaps_a_fault(gap: Interval, faults: list[FaultRecord]) -> bool:
    return any(
        fault.skipped is None and fault.injected_at <= gap.ended and gap.began <= fault.recovered_at for fault in faults
    )


def _longest(gaps: list[Interval], fault: FaultRecord) -> Interval | None:
    first = bisect_left(gaps, fault.injected_at, key=lambda gap: gap.ended)
    overlapping = [gap for gap in gaps[first:] if gap.began <= fault.recovered_at]
    return max(overlapping, key=lambda gap: gap.seconds, default=None)


def _active(client: ClientLog) -> Interval | None:
    """Return the interval from the first call to the end of the workload's main phase."""
    if not client.operations:
        return None
    final_reads = client.phases.get("final_reads_started")
    last = max(operation.completed_at or operation.invoked_at for operation in client.operations) / 1e9
    ended = last if final_reads is None else event_time(final_reads)
    return Interval(client.operations[0].invoked_at / 1e9, ended)


def _is_acknowledged_write(operation: Operation) -> bool:
    return operation.outcome == "ok" and operation.f != "read"
