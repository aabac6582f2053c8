"""Raft's safety properties, as far as nodes' logs show them (paper, Figures 2 and 3)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from raft_pkg.events import Event
from raft_testbed.checker.verdict import Verdict
from raft_testbed.events import NodeEvent
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import NodeLog, Run
from raft_testbed.verdict.elections import election_safety_violations, leaders_by_term
from raft_testbed.verdict.finding import Finding, violation_or_ok

STATE_MACHINE_SAFETY = "state machine safety"


def judge_election_safety(run: Run) -> Finding:
    """Election Safety: at most one leader in each term (§5.2)."""
    leaders = leaders_by_term(event.fields for log in run.logs.values() for event in log.events)
    if not leaders:
        return Finding("election safety", Verdict.UNKNOWN, "no log shows a leader")
    summary = f"no term has two leaders; {len(leaders)} terms had one, the latest is {max(leaders)}"
    terms = {str(term): nodes for term, nodes in leaders.items()}
    return violation_or_ok("election safety", election_safety_violations(leaders), summary, terms=terms)


def judge_votes(run: Run) -> Finding:
    """A node votes for at most one candidate in a term, and its vote survives a restart (§5.2; Figure 2)."""
    votes: dict[tuple[str, int, int], dict[str, None]] = defaultdict(dict)
    forgotten = []
    for node, log in run.logs.items():
        for disk, event in _with_disks(run.faults, node, log.events):
            vote = votes[(node, disk, event.term)]
            if event.event == Event.VOTE_GRANTED:
                vote[str(event.fields.get("candidate"))] = None
            elif event.event == Event.LOG_RECOVERED and vote and event.fields.get("voted_for", "") is None:
                when = f"restarted at {event.fields['ts']} without a vote"
                forgotten.append(f"{node} voted for {' and for '.join(vote)} in term {event.term}, {when}")
    problems = [
        f"{node} voted for {' and for '.join(candidates)} in term {term}"
        for (node, _, term), candidates in sorted(votes.items())
        if len(candidates) > 1
    ]
    count = sum(map(len, votes.values()))
    if not count:
        return Finding("votes", Verdict.UNKNOWN, "no log shows a vote")
    summary = f"no node voted twice in a term, or lost its vote; {count} votes were logged"
    return violation_or_ok("votes", [*problems, *forgotten], summary)


def judge_terms(run: Run) -> Finding:
    """A node's current term never decreases, not even over a restart: it is persistent state (§5.1; Figure 2)."""
    problems, highest = [], 0
    without_events = [node for node, log in run.logs.items() if not log.events]
    for node, log in run.logs.items():
        current: dict[int, int] = defaultdict(int)
        for disk, event in _with_disks(run.faults, node, _once_recovered(log)):
            if event.term < current[disk]:
                where = f"{event.event} at {event.fields['ts']}"
                problems.append(f"{node} went back from term {current[disk]} to {event.term} ({where})")
            current[disk] = max(current[disk], event.term)
            highest = max(highest, event.term)
    if without_events and not problems:
        return Finding("terms", Verdict.UNKNOWN, f"no events of {', '.join(without_events)}")
    return violation_or_ok("terms", problems, f"no node's term decreased; the latest is {highest}")


def judge_self_reported(run: Run) -> Finding:
    """No node reports a violation that it detected itself (`invariant_violated`)."""
    problems = [
        f"{node} at {event.fields['ts']}: {event.fields.get('error')}"
        for node, event in _events(run, Event.INVARIANT_VIOLATED)
    ]
    return violation_or_ok("self-reported", problems, "no node reports a violation")


def judge_state_machine_safety(run: Run) -> Finding:
    """State Machine Safety: equal applied indexes mean equal states, and all members reach the latest one (§5.4.3).

    A node that is not a member at the end need not reach the latest applied index.
    """
    hashes: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    last: dict[str, int] = dict.fromkeys(run.nodes, 0)
    for node, event in _events(run, Event.STATE_HASH):
        index = int(event.fields["applied_index"])
        hashes[index][str(event.fields["hash"])].add(node)
        last[node] = max(last[node], index)
    problems = [
        f"states differ after index {index}: {_nodes_by_hash(found)}"
        for index, found in sorted(hashes.items())
        if len(found) > 1
    ]
    latest = max(hashes, default=0)
    data = {"compared": sum(_is_compared(found) for found in hashes.values()), "last": last}
    if problems:
        return Finding(STATE_MACHINE_SAFETY, Verdict.VIOLATION, problems[0], problems[1:], data)
    if not hashes:
        return Finding(STATE_MACHINE_SAFETY, Verdict.UNKNOWN, "no log shows a state hash", data=data)
    members = _last_members(run)
    behind = [f"{node} (up to {index})" for node, index in last.items() if index < latest and node in members]
    if behind:
        summary = f"members without a state hash at the latest index, {latest}: {', '.join(behind)}"
        return Finding(STATE_MACHINE_SAFETY, Verdict.UNKNOWN, summary, data=data)
    summary = f"all members have the same state after index {latest}; {data['compared']} indexes were compared"
    return Finding(STATE_MACHINE_SAFETY, Verdict.OK, summary, data=data)


def _last_members(run: Run) -> set[str]:
    """Return the members by the latest configuration that any log shows; all nodes if none shows one."""
    latest = max(
        (event.fields for _, event in _events(run, Event.CONFIGURATION_CHANGED)),
        key=lambda fields: int(fields["index"]),
        default={"voters": run.nodes},
    )
    return {node for role in ("voters", "learners", "outgoing") for node in latest.get(role, [])}


def _nodes_by_hash(found: dict[str, set[str]]) -> str:
    return "; ".join(f"{', '.join(sorted(nodes))} {digest}" for digest, nodes in found.items())


def _is_compared(found: dict[str, set[str]]) -> bool:
    return len(set().union(*found.values())) > 1


def _events(run: Run, name: str) -> Iterator[tuple[str, NodeEvent]]:
    for node, log in run.logs.items():
        for event in log.events:
            if event.event == name:
                yield node, event


def _once_recovered(log: NodeLog) -> Iterator[NodeEvent]:
    """Yield the events of each incarnation from the recovery of its term on."""
    is_recovered = True
    for event in log.events:
        if event.event == Event.NODE_STARTED:
            is_recovered = False
        elif event.event == Event.LOG_RECOVERED:
            is_recovered = True
        if is_recovered:
            yield event


def _with_disks(faults: list[FaultRecord], node: str, events: Iterable[NodeEvent]) -> Iterator[tuple[int, NodeEvent]]:
    """Yield each event with the number of the node's disk: how often its data was lost before the incarnation."""
    disk = 0
    for event in events:
        if event.event in (Event.NODE_STARTED, Event.LOG_RECOVERED):
            disk = sum(node in fault.data_lost and fault.injected_at <= event.at for fault in faults)
        yield disk, event
