"""The verdict on a run: composes the findings of all judges."""

from dataclasses import dataclass
from typing import Any

from raft_testbed.checker.explained_finding import ExplainedFinding, judge_history
from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.verdict.availability import judge_availability
from raft_testbed.verdict.coverage import judge_coverage
from raft_testbed.verdict.directory import ClientLog, Run
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.log_completeness import judge_log_completeness
from raft_testbed.verdict.raft_properties import (
    judge_election_safety,
    judge_self_reported,
    judge_state_machine_safety,
    judge_terms,
    judge_votes,
)
from raft_testbed.verdict.resources import judge_resources
from raft_testbed.verdict.throughput import judge_throughput_floor

SECONDS_MAX = 300.0
MEMORY_MB_MAX = 4096.0


@dataclass(slots=True)
class RunFinding:
    """The findings on all properties of a run."""

    run: Run
    findings: list[Finding]
    histories: dict[str, ExplainedFinding]
    """The finding on each readable history, by file name."""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on any judged property."""
        return worst(finding.verdict for finding in self.findings if finding.verdict is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `raftctl report --json` (docs/reference/cli.md)."""
        return {
            "verdict": str(self.verdict),
            "name": self.run.name,
            "mutants": self.run.mutants,
            "findings": [finding.to_json() for finding in self.findings],
            "histories": {name: finding.to_json() for name, finding in self.histories.items()},
        }


def judge_run(run: Run, *, seconds_max: float = SECONDS_MAX, memory_mb_max: float = MEMORY_MB_MAX) -> RunFinding:
    """Judge every property of a run.

    Properties that `not_judged` of run.json lists get no verdict, but the reason stated there. The limits apply to the
    check of each history.
    """
    histories = {
        client.name: judge_history(client.operations, seconds_max=seconds_max, memory_mb_max=memory_mb_max)
        for client in run.clients
        if client.error is None
    }
    findings = [
        _judge_linearizability(run.clients, histories),
        judge_log_completeness(run),
        judge_throughput_floor(run),
        judge_availability(run),
        judge_coverage(run),
        judge_election_safety(run),
        judge_votes(run),
        judge_terms(run),
        judge_self_reported(run),
        judge_state_machine_safety(run),
        judge_resources(run),
    ]
    reasons = run.description.get("not_judged") or {}
    return RunFinding(
        run,
        [Finding(f.name, None, str(reasons[f.name])) if f.name in reasons else f for f in findings],
        histories,
    )


def _judge_linearizability(clients: list[ClientLog], histories: dict[str, ExplainedFinding]) -> Finding:
    """Combine the findings on all histories; workloads use disjoint keys."""
    violations = [violation for finding in histories.values() for violation in finding.violations]
    if violations:
        details = [line for violation in violations for line in (violation.summary, *violation.explanation)]
        return Finding("linearizability", Verdict.VIOLATION, violations[0].summary, details[1:])
    unreadable = [client.name for client in clients if client.error is not None]
    if unreadable or not clients:
        return Finding("linearizability", Verdict.UNKNOWN, f"unreadable: {', '.join(unreadable) or 'no history'}")
    keys = [key for finding in histories.values() for key in finding.finding.keys]
    unknown = [str(key) for key in keys if key.verdict is Verdict.UNKNOWN]
    if unknown:
        return Finding("linearizability", Verdict.UNKNOWN, unknown[0], unknown[1:])
    count = sum(key.operations for key in keys)
    return Finding("linearizability", Verdict.OK, f"{count:,} operations on {len(keys)} keys are linearizable")
