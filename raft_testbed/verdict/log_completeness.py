"""Log completeness: histories have no gaps, and reach the end of the workload."""

from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.directory import Run
from raft_testbed.verdict.finding import Finding

NAME = "log completeness"
UNREADABLE_LISTED_MAX = 5


def judge_log_completeness(run: Run) -> Finding:
    """Require that every history is readable, and has its last line and its final reads."""
    problems = [f"{client.name}: {client.error}" for client in run.clients if client.error is not None]
    problems += [
        f"{client.name}: the line workload_finished is missing"
        for client in run.clients
        if client.error is None and "workload_finished" not in client.phases
    ]
    problems += [
        f"{client.name}: the final reads are missing"
        for client in run.clients
        if client.phases.get("workload_finished", {}).get("final_reads") is False
    ]
    if not run.clients:
        problems.append("the run has no history")
    details = []
    for node, log in run.logs.items():
        if log.unreadable:
            listed = "; ".join(line[:100] for line in log.unreadable[:UNREADABLE_LISTED_MAX])
            details.append(f"{node}: {len(log.unreadable)} lines of the log are not events: {listed}")
    if problems:
        return Finding(NAME, Verdict.UNKNOWN, problems[0], problems[1:] + details)
    events = sum(len(log.events) for log in run.logs.values())
    operations = sum(len(client.operations) for client in run.clients)
    return Finding(NAME, Verdict.OK, f"complete: {operations:,} operations, {events:,} events of nodes", details)
