"""Whether the record is whole, and whether enough was done for it to say anything."""

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.directory import Run
from raft_testbed.verdict.finding import Finding

UNREADABLE_SHOWN_MAX = 5


def judge_record(run: Run) -> Finding:
    """No line may be missing in a history, and its end must be there."""
    problems = [f"{client.name}: {client.problem}" for client in run.clients if client.problem is not None]
    problems += [
        f"{client.name}: the workload's last line is missing"
        for client in run.clients
        if client.problem is None and "workload_finished" not in client.marks
    ]
    problems += [
        f"{client.name}: the final reads are missing"
        for client in run.clients
        if client.marks.get("workload_finished", {}).get("final_reads") is False
    ]
    if not run.clients:
        problems.append("there is no history")
    details = []
    for node, log in run.logs.items():
        if log.unreadable:
            shown = "; ".join(line[:100] for line in log.unreadable[:UNREADABLE_SHOWN_MAX])
            details.append(f"{node}: {len(log.unreadable)} lines of its log are no events: {shown}")
    if problems:
        return Finding("record", Verdict.UNKNOWN, problems[0], problems[1:] + details)
    lines = sum(len(log.events) for log in run.logs.values())
    count = sum(len(client.operations) for client in run.clients)
    return Finding("record", Verdict.OK, f"whole: {count:,} operations, {lines:,} lines of nodes", details)


def judge_amount(run: Run) -> Finding:
    """An idle run shows nothing: at least `operations_ok_min` operations must have succeeded."""
    succeeded = sum(operation.outcome == "ok" for operation in run.operations)
    wanted = int(run.description.get("operations_ok_min") or 1)
    unreadable = [client.name for client in run.clients if client.problem is not None]
    if succeeded < wanted and unreadable:
        return Finding("amount", Verdict.UNKNOWN, f"not readable: {', '.join(unreadable)}")
    if succeeded < wanted:
        summary = f"{succeeded:,} operations succeeded, and at least {wanted:,} must"
        return Finding("amount", Verdict.VIOLATION, summary, data={"ok": succeeded, "ok_min": wanted})
    summary = f"{succeeded:,} operations succeeded (at least {wanted:,} must)"
    return Finding("amount", Verdict.OK, summary, data={"ok": succeeded, "ok_min": wanted})
