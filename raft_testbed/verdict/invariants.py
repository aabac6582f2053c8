"""What Raft promises of its nodes, as far as their logs show it (paper, Figure 3)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from raft_testbed.checker.verdict import Verdict
from raft_testbed.events import NodeEvent
from raft_testbed.faults import FaultRecord
from raft_testbed.verdict.directory import NodeLog, Run
from raft_testbed.verdict.finding import Finding, violation_or_ok


def judge_leaders(run: Run) -> Finding:
    """Election Safety: at most one leader in a term."""
    leaders: dict[int, dict[str, None]] = defaultdict(dict)
    for node, event in _events(run, "became_leader"):
        leaders[event.term][node] = None
    problems = [
        f"term {term} has {len(nodes)} leaders: {', '.join(nodes)}"
        for term, nodes in sorted(leaders.items())
        if len(nodes) > 1
    ]
    if not leaders:
        return Finding("leaders", Verdict.UNKNOWN, "no log shows a leader")
    good = f"no term has two leaders; {len(leaders)} terms had one, the newest is {max(leaders)}"
    return violation_or_ok("leaders", problems, good, terms={str(term): list(nodes) for term, nodes in leaders.items()})


def judge_votes(run: Run) -> Finding:
    """A node votes for at most one candidate in a term, and knows for whom when it restarts (§5.2, Figure 2)."""
    votes: dict[tuple[str, int, int], dict[str, None]] = defaultdict(dict)
    forgotten = []
    for node, log in run.logs.items():
        for store, event in _with_stores(run.faults, node, log.events):
            vote = votes[(node, store, event.term)]
            if event.event == "vote_granted":
                vote[str(event.fields.get("candidate"))] = None
            elif event.event == "log_recovered" and vote and event.fields.get("voted_for", "") is None:
                when = f"came back at {event.fields['ts']} and had voted for nobody"
                forgotten.append(f"{node} voted for {' and for '.join(vote)} in term {event.term}, {when}")
    problems = [
        f"{node} voted for {' and for '.join(candidates)} in term {term}"
        for (node, _, term), candidates in sorted(votes.items())
        if len(candidates) > 1
    ]
    count = sum(map(len, votes.values()))
    if not count:
        return Finding("votes", Verdict.UNKNOWN, "no log shows a vote")
    good = f"nobody voted twice in a term, or forgot it; {count} votes were logged"
    return violation_or_ok("votes", [*problems, *forgotten], good)


def judge_terms(run: Run) -> Finding:
    """A node's term never goes back, also not when it restarts: it is on disk (§5.1, Figure 2)."""
    problems, highest = [], 0
    silent = [node for node, log in run.logs.items() if not log.events]
    for node, log in run.logs.items():
        newest: dict[int, int] = defaultdict(int)
        for store, event in _with_stores(run.faults, node, _once_recovered(log)):
            if event.term < newest[store]:
                where = f"{event.event} at {event.fields['ts']}"
                problems.append(f"{node} went back from term {newest[store]} to {event.term} ({where})")
            newest[store] = max(newest[store], event.term)
            highest = max(highest, event.term)
    if silent and not problems:
        return Finding("terms", Verdict.UNKNOWN, f"nothing is logged of {', '.join(silent)}")
    return violation_or_ok("terms", problems, f"no node's term ever went back; the newest is {highest}")


def judge_own_word(run: Run) -> Finding:
    """A node that finds a safety property broken says so itself."""
    problems = [
        f"{node} at {event.fields['ts']}: {event.fields.get('error')}"
        for node, event in _events(run, "invariant_violated")
    ]
    return violation_or_ok("own word", problems, "no node reports a broken invariant")


def judge_applied_state(run: Run) -> Finding:
    """State Machine Safety: nodes that applied as much have the same state; in the end, all have applied the same.

    Who is no member in the end need not have come so far.
    """
    hashes: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    last: dict[str, int] = dict.fromkeys(run.nodes, 0)
    for node, event in _events(run, "state_hash"):
        index = int(event.fields["applied_index"])
        hashes[index][str(event.fields["hash"])].add(node)
        last[node] = max(last[node], index)
    problems = [
        f"states differ after index {index}: {_who_has_what(found)}"
        for index, found in sorted(hashes.items())
        if len(found) > 1
    ]
    newest = max(hashes, default=0)
    data = {"compared": sum(_are_compared(found) for found in hashes.values()), "last": last}
    if problems:
        return Finding("applied state", Verdict.VIOLATION, problems[0], problems[1:], data)
    if not hashes:
        return _unknown("no log shows a state hash", data)
    members = _last_members(run)
    behind = [f"{node} (up to {index})" for node, index in last.items() if index < newest and node in members]
    if behind:
        return _unknown(f"not all nodes show what they have after index {newest}: {', '.join(behind)}", data)
    good = f"all nodes have the same state after index {newest}; {data['compared']} indexes were compared"
    return Finding("applied state", Verdict.OK, good, data=data)


def _last_members(run: Run) -> set[str]:
    """Who belonged to the cluster by the newest configuration that any log shows; all nodes, where none does."""
    newest = max(
        (event.fields for _, event in _events(run, "configuration_changed")),
        key=lambda record: int(record["index"]),
        default={"voters": run.nodes},
    )
    return {node for role in ("voters", "learners", "outgoing") for node in newest.get(role, [])}


def _unknown(summary: str, data: dict[str, object]) -> Finding:
    return Finding("applied state", Verdict.UNKNOWN, summary, data=data)


def _who_has_what(found: dict[str, set[str]]) -> str:
    return "; ".join(f"{', '.join(sorted(nodes))} {digest}" for digest, nodes in found.items())


def _are_compared(found: dict[str, set[str]]) -> bool:
    return len(set().union(*found.values())) > 1


def _events(run: Run, name: str) -> Iterator[tuple[str, NodeEvent]]:
    for node, log in run.logs.items():
        for event in log.events:
            if event.event == name:
                yield node, event


def _once_recovered(log: NodeLog) -> Iterator[NodeEvent]:
    """Lines of each life from that on in which the node knows its term again."""
    knows_its_term = True
    for event in log.events:
        if event.event == "node_started":
            knows_its_term = False
        elif event.event == "log_recovered":
            knows_its_term = True
        if knows_its_term:
            yield event


def _with_stores(faults: list[FaultRecord], node: str, events: Iterable[NodeEvent]) -> Iterator[tuple[int, NodeEvent]]:
    """Each line, and how often the node had lost its data when that life began: until its end, it has what it had."""
    store = 0
    for event in events:
        if event.event in ("node_started", "log_recovered"):
            store = sum(node in fault.data_lost and fault.injected_at <= event.at for fault in faults)
        yield store, event
