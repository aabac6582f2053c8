"""All verdicts on a run, composed; each promise is judged in a module of its own."""

from dataclasses import dataclass
from typing import Any

from raft_testbed.checker.explained_finding import ExplainedFinding, judge_history
from raft_testbed.checker.verdict import Verdict, worst
from raft_testbed.verdict.availability import judge_availability
from raft_testbed.verdict.coverage import judge_coverage
from raft_testbed.verdict.directory import ClientLog, Run
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.invariants import (
    judge_applied_state,
    judge_leaders,
    judge_own_word,
    judge_terms,
    judge_votes,
)
from raft_testbed.verdict.log_completeness import judge_amount, judge_record
from raft_testbed.verdict.resources import judge_resources

SECONDS_MAX = 300.0
MEMORY_MB_MAX = 4096.0


@dataclass(slots=True)
class RunVerdict:
    """What is to be said of a run."""

    run: Run
    findings: list[Finding]
    judgements: dict[str, ExplainedFinding]
    """On each history that could be read, by its name."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all that was judged."""
        return worst(finding.verdict for finding in self.findings if finding.verdict is not None)

    def to_json(self) -> dict[str, Any]:
        """As docs/reference/report.md has it."""
        return {
            "verdict": str(self.verdict),
            "name": self.run.name,
            "mutants": self.run.mutants,
            "findings": [finding.to_json() for finding in self.findings],
            "histories": {name: judgement.to_json() for name, judgement in self.judgements.items()},
        }


def judge_run(run: Run, *, seconds_max: float = SECONDS_MAX, memory_mb_max: float = MEMORY_MB_MAX) -> RunVerdict:
    """Judge everything; `not_judged` of run.json names promises that this run says nothing of, each with a reason."""
    judgements = {
        client.name: judge_history(client.operations, seconds_max=seconds_max, memory_mb_max=memory_mb_max)
        for client in run.clients
        if client.problem is None
    }
    findings = [
        _judge_linearizability(run.clients, judgements),
        judge_record(run),
        judge_amount(run),
        judge_availability(run),
        judge_coverage(run),
        judge_leaders(run),
        judge_votes(run),
        judge_terms(run),
        judge_own_word(run),
        judge_applied_state(run),
        judge_resources(run),
    ]
    reasons = run.description.get("not_judged") or {}
    return RunVerdict(
        run,
        [Finding(f.name, None, str(reasons[f.name])) if f.name in reasons else f for f in findings],
        judgements,
    )


def _judge_linearizability(clients: list[ClientLog], judgements: dict[str, ExplainedFinding]) -> Finding:
    """Every history by itself: workloads share no keys."""
    violations = [violation for judgement in judgements.values() for violation in judgement.violations]
    if violations:
        details = [line for violation in violations for line in (violation.summary, *violation.explanation)]
        return Finding("linearizability", Verdict.VIOLATION, violations[0].summary, details[1:])
    unreadable = [client.name for client in clients if client.problem is not None]
    if unreadable or not clients:
        return Finding("linearizability", Verdict.UNKNOWN, f"not readable: {', '.join(unreadable) or 'no history'}")
    reports = [report for judgement in judgements.values() for report in judgement.finding.keys]
    not_known = [str(report) for report in reports if report.verdict is Verdict.UNKNOWN]
    if not_known:
        return Finding("linearizability", Verdict.UNKNOWN, not_known[0], not_known[1:])
    count = sum(report.operations for report in reports)
    return Finding("linearizability", Verdict.OK, f"{count:,} operations on {len(reports)} keys have an explanation")
