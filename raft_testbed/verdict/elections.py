"""Election Safety as logs show it: at most one leader in each term (§5.2; paper, Figure 3)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from raft_pkg.events import Event
from raft_testbed.events import LogEvent


def leaders_by_term(events: Iterable[LogEvent]) -> dict[int, list[str]]:
    """Return the nodes that logged `became_leader` in each term, both sorted."""
    leaders: dict[int, set[str]] = defaultdict(set)
    for event in events:
        if event["event"] == Event.BECAME_LEADER:
            leaders[int(event["term"])].add(str(event["node"]))
    return {term: sorted(nodes) for term, nodes in sorted(leaders.items())}


def election_safety_violations(leaders: Mapping[int, Sequence[str]]) -> list[str]:
    """Return a sentence for each term with more than one leader."""
    return [
        f"term {term} has {len(nodes)} leaders: {', '.join(nodes)}" for term, nodes in leaders.items() if len(nodes) > 1
    ]
