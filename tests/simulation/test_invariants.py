"""Each invariant fires when what it forbids happens, and says its name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from raft_pkg.core.messages import AppendEntriesReply, Message, RequestVote, RequestVoteReply
from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_pkg.simulation.invariants import (
    ACKNOWLEDGED_WRITES,
    AT_MOST_ONCE,
    COMMIT_INDEX,
    COMMIT_RULE,
    ELECTION_SAFETY,
    LEADER_APPEND_ONLY,
    LEADER_COMPLETENESS,
    LOG_MATCHING,
    MATCH_INDEX,
    ONE_VOTE,
    OWN_TERM_ENTRY,
    READS,
    RECOVERY,
    STABLE_BEFORE_PROMISED,
    STATE_MACHINE_SAFETY,
    TERM_AND_VOTE,
    Invariants,
    Observation,
    Violation,
)

VOTERS = ("a", "b", "c")


def entry(index: int, term: int, data: bytes = b"") -> Entry:
    return Entry(index, term, EntryKind.COMMANDS, data or b"%d/%d" % (index, term))


def log(*terms: int) -> list[Entry]:
    return [entry(index, term) for index, term in enumerate(terms, start=1)]


def seen(
    node: str, term: int, entries: list[Entry] | None = None, *, leads: bool = False, commit: int = 0
) -> Observation:
    return Observation(node, term, node if leads else None, leads, commit, 0, 0, 1, 0, entries or [], VOTERS, 2, {})


class Cluster:
    """Invariants that have seen a leader `a` of term 1, whose two entries `a` and `b` hold on disk."""

    def __init__(self) -> None:
        self.invariants = Invariants(lambda e: [e.data])
        self.on_disk("a", 1, log(1, 1), vote="a")
        self.on_disk("b", 1, log(1, 1), vote="a")
        self.on_disk("c", 1, [], vote="a")
        self.step(seen("b", 1, log(1, 1)))
        self.leader = seen("a", 1, log(1, 1), leads=True)
        self.step(self.leader)

    def on_disk(self, node: str, term: int, entries: list[Entry], vote: str | None = None) -> None:
        disk = self.invariants.disk(node)
        disk.append(HardState(term, vote), entries)
        disk.sync()

    def step(self, observation: Observation) -> None:
        if observation.is_leader:
            for voter in VOTERS:
                self.invariants._votes.setdefault((voter, observation.term), observation.node)
        self.invariants.step_ended(observation)

    def commit(self) -> None:
        self.leader = replace(self.leader, commit_index=2)
        self.step(self.leader)


def two_leaders(cluster: Cluster) -> None:
    cluster.step(seen("b", 1, log(1, 1), leads=True))


def leader_without_votes(cluster: Cluster) -> None:
    cluster.invariants.step_ended(seen("b", 2, log(1, 1, 2), leads=True))


def leader_without_own_entry(cluster: Cluster) -> None:
    cluster.step(seen("b", 2, log(1, 1), leads=True))


def leader_overwrites(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, entries=[*log(1), Entry(2, 1, EntryKind.NOOP, b"other")]))


def leader_deletes(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, entries=log(1)))


def same_index_and_term_other_entry(cluster: Cluster) -> None:
    cluster.step(seen("c", 1, [*log(1), entry(2, 1, b"other")]))


def same_entry_other_predecessor(cluster: Cluster) -> None:
    cluster.step(seen("b", 4, log(1, 1, 3)))
    cluster.step(seen("c", 4, log(1, 2, 3)))


def terms_go_back_in_log(cluster: Cluster) -> None:
    cluster.step(seen("c", 5, log(5, 4)))


def match_is_claimed_falsely(cluster: Cluster) -> None:
    cluster.on_disk("b", 1, [entry(3, 1)], vote="a")
    cluster.invariants.message_sent(Message("b", "a", 1, AppendEntriesReply(True, match_index=3)))


def leader_lacks_committed(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(seen("c", 2, log(2), leads=True))


def commits_for_a_leader_that_lacks_it(cluster: Cluster) -> None:
    cluster.step(seen("c", 2, log(2), leads=True))
    cluster.commit()


def applies_another_entry(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(seen("c", 2, log(1, 2), commit=2))


def applies_uncommitted(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, applied_index=1))


def applies_other_commands(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, applied_index=2, applied_digest=1))


def answers_differ(cluster: Cluster) -> None:
    cluster.invariants.answered("a", 1, 7)
    cluster.invariants.answered("b", 1, 8)


def commits_old_term(cluster: Cluster) -> None:
    cluster.on_disk("a", 2, log(1, 1, 2), vote="a")
    cluster.step(seen("a", 2, log(1, 1, 2), leads=True))
    cluster.step(seen("a", 2, log(1, 1, 2), leads=True, commit=2))


def commits_without_majority(cluster: Cluster) -> None:
    cluster.on_disk("a", 1, [entry(3, 1)], vote="a")
    cluster.step(replace(cluster.leader, entries=log(1, 1, 1), commit_index=3))


def follower_commits_first(cluster: Cluster) -> None:
    cluster.step(seen("b", 1, log(1, 1), commit=1))


def commits_beyond_log(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, commit_index=3))


def commit_goes_back(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, commit_index=1))


def term_goes_back(cluster: Cluster) -> None:
    cluster.step(seen("b", 0, log(1, 1)))


def vote_changes(cluster: Cluster) -> None:
    cluster.step(replace(seen("b", 1, log(1, 1)), voted_for="a"))
    cluster.step(replace(seen("b", 1, log(1, 1)), voted_for="c"))


def votes_twice(cluster: Cluster) -> None:
    cluster.on_disk("b", 2, [], vote="b")
    cluster.invariants.message_sent(Message("b", "a", 2, RequestVote(2, 1)))
    cluster.invariants.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=True)))


def votes_before_it_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.disk("b").append(HardState(2, "c"), [])
    cluster.invariants.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=True)))


def speaks_before_term_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=False)))


def acknowledges_before_it_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.disk("b").append(None, [entry(3, 1)])
    cluster.invariants.message_sent(Message("b", "a", 1, AppendEntriesReply(True, match_index=3)))


def leader_believes_too_much(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, match_index={"c": 2}))


def recovery_forgets_entry(cluster: Cluster) -> None:
    cluster.invariants.node_started("a", HardState(1, "a"), log(1))


def recovery_forgets_vote(cluster: Cluster) -> None:
    cluster.invariants.node_started("a", HardState(1, None), log(1, 1))


def recovery_invents(cluster: Cluster) -> None:
    cluster.invariants.disk("a").append(None, [entry(3, 1)])
    cluster.invariants.node_started("a", HardState(1, "a"), log(1, 1, 1, 1))


def acknowledges_what_is_not_there(cluster: Cluster) -> None:
    cluster.commit()
    cluster.invariants.write_acknowledged("a", b"another command", 2)


def acknowledges_uncommitted(cluster: Cluster) -> None:
    cluster.invariants.write_acknowledged("a", b"2/1", 2)


def applies_twice(cluster: Cluster) -> None:
    cluster.invariants.command_sent_once(b"1/1")
    cluster.commit()
    again = [*log(1, 1), entry(3, 1, b"1/1")]
    cluster.on_disk("a", 1, again[2:], vote="a")
    cluster.on_disk("b", 1, again[2:], vote="a")
    cluster.step(replace(cluster.leader, entries=again, commit_index=3))


def reads_the_past(cluster: Cluster) -> None:
    cluster.invariants.read_answered("a", 4, acknowledged_before=5)


BREACHES: list[tuple[Callable[[Cluster], None], str]] = [
    (two_leaders, ELECTION_SAFETY),
    (leader_without_votes, ELECTION_SAFETY),
    (leader_without_own_entry, OWN_TERM_ENTRY),
    (leader_overwrites, LEADER_APPEND_ONLY),
    (leader_deletes, LEADER_APPEND_ONLY),
    (same_index_and_term_other_entry, LOG_MATCHING),
    (same_entry_other_predecessor, LOG_MATCHING),
    (terms_go_back_in_log, LOG_MATCHING),
    (match_is_claimed_falsely, LOG_MATCHING),
    (leader_lacks_committed, LEADER_COMPLETENESS),
    (commits_for_a_leader_that_lacks_it, LEADER_COMPLETENESS),
    (applies_another_entry, STATE_MACHINE_SAFETY),
    (applies_uncommitted, STATE_MACHINE_SAFETY),
    (applies_other_commands, STATE_MACHINE_SAFETY),
    (answers_differ, STATE_MACHINE_SAFETY),
    (commits_old_term, COMMIT_RULE),
    (commits_without_majority, COMMIT_RULE),
    (follower_commits_first, COMMIT_RULE),
    (commits_beyond_log, COMMIT_RULE),
    (commit_goes_back, COMMIT_INDEX),
    (term_goes_back, TERM_AND_VOTE),
    (vote_changes, TERM_AND_VOTE),
    (votes_twice, ONE_VOTE),
    (votes_before_it_is_on_disk, STABLE_BEFORE_PROMISED),
    (speaks_before_term_is_on_disk, STABLE_BEFORE_PROMISED),
    (acknowledges_before_it_is_on_disk, STABLE_BEFORE_PROMISED),
    (leader_believes_too_much, MATCH_INDEX),
    (recovery_forgets_entry, RECOVERY),
    (recovery_forgets_vote, RECOVERY),
    (recovery_invents, RECOVERY),
    (acknowledges_what_is_not_there, ACKNOWLEDGED_WRITES),
    (acknowledges_uncommitted, ACKNOWLEDGED_WRITES),
    (applies_twice, AT_MOST_ONCE),
    (reads_the_past, READS),
]


@pytest.mark.parametrize(("breach", "invariant"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_it_fires(breach: Callable[[Cluster], None], invariant: str) -> None:
    cluster = Cluster()
    with pytest.raises(Violation) as caught:
        breach(cluster)
    assert caught.value.invariant == invariant


def test_what_is_right_passes() -> None:
    cluster = Cluster()
    cluster.commit()
    cluster.invariants.write_acknowledged("a", b"2/1", 2)
    cluster.step(seen("b", 1, log(1, 1), commit=2))
    cluster.invariants.node_started("a", HardState(1, "a"), log(1, 1))
    cluster.on_disk("b", 2, log(1, 1, 2)[2:], vote="b")
    cluster.step(seen("b", 2, log(1, 1, 2), leads=True, commit=2))
    assert cluster.invariants.committed_index == 2


def test_recovery_may_find_any_prefix_of_what_was_not_synced() -> None:
    cluster = Cluster()
    for kept in range(3):
        disk = cluster.invariants.disk(f"n{kept}")
        disk.append(HardState(3, "b"), [entry(1, 3)])
        expected = [(HardState(), []), (HardState(3, "b"), []), (HardState(3, "b"), [entry(1, 3)])][kept]
        cluster.invariants.node_started(f"n{kept}", *expected)


def test_a_commit_and_the_next_term_in_one_step_is_right() -> None:
    """A slow leader finds in one turn the acknowledgements that commit and the message that deposes it."""
    cluster = Cluster()
    cluster.step(seen("a", 2, log(1, 1), commit=2))
    assert cluster.invariants.committed_index == 2
