"""Throughput floor: an idle run shows nothing."""

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.directory import Run
from raft_testbed.verdict.finding import Finding

NAME = "throughput floor"


def judge_throughput_floor(run: Run) -> Finding:
    """Require at least `operations_ok_min` successful operations."""
    succeeded = sum(operation.outcome == "ok" for operation in run.operations)
    floor = int(run.description.get("operations_ok_min") or 1)
    unreadable = [client.name for client in run.clients if client.error is not None]
    if succeeded < floor and unreadable:
        return Finding(NAME, Verdict.UNKNOWN, f"unreadable: {', '.join(unreadable)}")
    verdict = Verdict.VIOLATION if succeeded < floor else Verdict.OK
    summary = f"{succeeded:,} operations succeeded; the floor is {floor:,}"
    return Finding(NAME, verdict, summary, data={"ok": succeeded, "ok_min": floor})
