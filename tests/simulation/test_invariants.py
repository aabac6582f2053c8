"""Each invariant fires when what it forbids happens, and says its name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

import pytest

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import (
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.types import Entry, EntryKind, HardState, SnapshotMetadata
from raft_pkg.storage import Recovered
from raft_testbed.simulation.invariants import (
    ACKNOWLEDGED_WRITES,
    AT_MOST_ONCE,
    COMMIT_INDEX,
    COMMIT_RULE,
    COMPACTION,
    ELECTION_SAFETY,
    EXPIRED_SESSION,
    LEADER_APPEND_ONLY,
    LEADER_COMPLETENESS,
    LEARNERS,
    LOG_MATCHING,
    MATCH_INDEX,
    NON_MEMBERS,
    ONE_CHANGE,
    ONE_VOTE,
    OWN_TERM_CHANGE,
    OWN_TERM_ENTRY,
    QUORUMS_OVERLAP,
    READS,
    RECOVERY,
    SNAPSHOT_BYTES,
    SNAPSHOT_CONTENT,
    STABLE_BEFORE_PROMISED,
    STATE_MACHINE_SAFETY,
    TERM_AND_VOTE,
    Identity,
    Invariants,
    Observation,
    Violation,
)

VOTERS = ("a", "b", "c")
ABC = Configuration.of(*VOTERS)


def entry(index: int, term: int, data: bytes = b"") -> Entry:
    return Entry(index, term, EntryKind.COMMANDS, data or b"%d/%d" % (index, term))


def log(*terms: int) -> list[Entry]:
    return [entry(index, term) for index, term in enumerate(terms, start=1)]


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def seen(
    node: str,
    term: int,
    entries: list[Entry] | None = None,
    *,
    leads: bool = False,
    commit: int = 0,
    configuration: Configuration = ABC,
) -> Observation:
    """A node whose log has all its entries; its configuration is the last of them, or the one given."""
    entries = entries or []
    changes = [e for e in entries if e.kind is EntryKind.CONFIGURATION]
    if changes:
        configuration = Configuration.decode(changes[-1].data)
    place = changes[-1].index if changes else 0
    voted_for = node if leads else None
    return Observation(node, 0, term, voted_for, leads, commit, 0, 0, "", 1, 0, entries, None, configuration, place, {})


def snapshot(index: int, term: int, data: bytes = b"state", configuration: Configuration = ABC) -> SnapshotMetadata:
    return SnapshotMetadata(index, term, configuration, len(data), crc32(data))


def commands_of(entry: Entry) -> Sequence[bytes]:
    return [entry.data] if entry.kind is EntryKind.COMMANDS else ()


class Cluster:
    """Invariants that have seen a leader `a` of term 1, whose two entries `a` and `b` hold on disk."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.invariants = Invariants(commands_of)
        self.entries = entries or log(1, 1)
        self.on_disk("a", 1, self.entries, vote="a")
        self.on_disk("b", 1, self.entries, vote="a")
        self.on_disk("c", 1, [], vote="a")
        self.step(seen("b", 1, self.entries))
        self.leader = seen("a", 1, self.entries, leads=True)
        self.step(self.leader)

    def on_disk(
        self, node: str, term: int, entries: list[Entry], vote: str | None = None, incarnation: int = 0
    ) -> None:
        disk = self.invariants.disk(node, incarnation)
        disk.append(HardState(term, vote), entries)
        disk.sync()

    def step(self, observation: Observation) -> None:
        if observation.is_leader:
            for voter in VOTERS:
                self.vote(voter, observation)
        self.invariants.step_ended(observation)

    def vote(self, voter: str, candidate: Observation, incarnation: int = 0) -> None:
        votes: dict[tuple[Identity, int], Identity] = self.invariants._votes
        votes.setdefault(((voter, incarnation), candidate.term), candidate.identity)

    def commit(self) -> None:
        self.leader = replace(self.leader, commit_index=2)
        self.step(self.leader)

    def append(self, *entries: Entry, holders: Sequence[str] = ("a", "b"), commit: int = 2) -> None:
        """The leader appends entries, which some hold on disk, and commits up to an index, all in one step."""
        for holder in holders:
            self.on_disk(holder, 1, list(entries), vote="a")
        self.entries = [*self.entries, *entries]
        self.leader = seen("a", 1, self.entries, leads=True, commit=commit)
        self.step(self.leader)

    def recover(
        self,
        node: str,
        hard_state: HardState,
        entries: list[Entry],
        *,
        base: tuple[int, int] = (0, 0),
        taken: SnapshotMetadata | None = None,
        incarnation: int = 0,
    ) -> None:
        self.invariants.node_started(node, Recovered(hard_state, entries, 0, incarnation, *base, taken))


def two_leaders(cluster: Cluster) -> None:
    cluster.step(seen("b", 1, log(1, 1), leads=True))


def leader_by_a_learner(cluster: Cluster) -> None:
    candidate = seen("b", 2, log(1, 1, 2), leads=True, configuration=replace(ABC, learners=(Member("d"),)))
    cluster.vote("d", candidate)
    cluster.invariants.step_ended(candidate)


def leader_by_a_lost_disk(cluster: Cluster) -> None:
    candidate = seen("b", 2, log(1, 1, 2), leads=True)
    cluster.vote("c", candidate, incarnation=7)
    cluster.invariants.step_ended(candidate)


def leader_by_one_of_two_majorities(cluster: Cluster) -> None:
    joint = Configuration(ABC.voters, outgoing=(Member("b"), Member("d"), Member("e")))
    candidate = seen("b", 2, log(1, 1, 2), leads=True, configuration=joint)
    cluster.vote("c", candidate)
    cluster.invariants.step_ended(candidate)


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


def state_hashes_differ(cluster: Cluster) -> None:
    cluster.commit()
    digest = crc32(b"2/1", crc32(b"1/1"))
    cluster.step(replace(cluster.leader, applied_index=2, applied_digest=digest, state_hash="one"))
    cluster.step(replace(seen("b", 1, cluster.entries, commit=2), applied_index=2, applied_digest=digest))


def answers_differ(cluster: Cluster) -> None:
    cluster.invariants.answered("a", 1, 7)
    cluster.invariants.answered("b", 1, 8)


def commits_old_term(cluster: Cluster) -> None:
    cluster.on_disk("a", 2, log(1, 1, 2), vote="a")
    cluster.step(seen("a", 2, log(1, 1, 2), leads=True))
    cluster.step(seen("a", 2, log(1, 1, 2), leads=True, commit=2))


def commits_without_majority(cluster: Cluster) -> None:
    cluster.append(entry(3, 1), holders=("a",), commit=3)


def commits_by_a_learner(cluster: Cluster) -> None:
    with_learner = replace(ABC, learners=(Member("d"),))
    cluster.commit()
    cluster.append(change(3, 1, with_learner), commit=3)
    cluster.on_disk("d", 1, [*cluster.entries, entry(4, 1)])
    cluster.append(entry(4, 1), holders=("a",), commit=4)


def commits_by_a_lost_disk(cluster: Cluster) -> None:
    cluster.commit()
    cluster.on_disk("b", 1, [entry(1, 1), entry(2, 1), entry(3, 1)], incarnation=7)
    cluster.append(entry(3, 1), holders=("a",), commit=3)


def commits_by_the_new_majority_alone(cluster: Cluster) -> None:
    """C_old,new is not committed by C_new alone, also when C_new is appended in the same step."""
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b"), Member("c")))
    cluster.commit()
    changes = [change(3, 1, joint), change(4, 1, Configuration.of("a"))]
    cluster.append(*changes, holders=("a",), commit=4)


def majorities_apart(cluster: Cluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.append(change(4, 1, Configuration.of("d", "e", "f")), commit=3)


def two_changes_at_once(cluster: Cluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), change(4, 1, Configuration.of("a", "b", "c", "d")))


def changes_before_own_commit(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(seen("b", 2, log(1, 1, 2), leads=True, commit=2))
    cluster.step(seen("b", 2, [*log(1, 1, 2), change(4, 2, ABC)], leads=True, commit=2))


def compacts_without_snapshot(cluster: Cluster) -> None:
    cluster.commit()
    cluster.invariants.compacted("a", 0, 1)


def begins_after_what_no_snapshot_has(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, first_index=3, previous_term=1, entries=[], snapshot=snapshot(1, 1)))


def begins_after_another_entry(cluster: Cluster) -> None:
    cluster.commit()
    cluster.step(replace(seen("c", 2), first_index=3, previous_term=2, snapshot=snapshot(2, 2), commit_index=2))


def snapshot_of_the_uncommitted(cluster: Cluster) -> None:
    cluster.invariants.snapshot_kept("a", snapshot(2, 1), b"state")


def snapshot_with_another_term(cluster: Cluster) -> None:
    cluster.commit()
    cluster.invariants.snapshot_kept("a", snapshot(2, 2, configuration=Configuration()), b"state")


def snapshot_with_another_configuration(cluster: Cluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.invariants.snapshot_kept("a", snapshot(3, 1, configuration=Configuration.of("a")), b"state")


def snapshots_differ(cluster: Cluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.invariants.snapshot_kept("a", snapshot(3, 1), b"state")
    cluster.invariants.snapshot_kept("b", snapshot(3, 1, b"stale"), b"stale")


def snapshot_is_not_what_it_says(cluster: Cluster) -> None:
    cluster.commit()
    cluster.invariants.snapshot_kept("a", snapshot(2, 1), b"stale")


def sends_what_is_no_chunk(cluster: Cluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.invariants.snapshot_kept("a", snapshot(3, 1), b"state")
    cluster.invariants.message_sent(Message("a", "c", 1, InstallSnapshot(snapshot(3, 1), 2, b"ta", 0)))


def speaks_of_a_snapshot_before_its_term_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.message_sent(Message("c", "a", 2, InstallSnapshotReply(2, 5)))


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
    cluster.invariants.disk("b", 0).append(HardState(2, "c"), [])
    cluster.invariants.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=True)))


def speaks_before_term_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=False)))


def acknowledges_before_it_is_on_disk(cluster: Cluster) -> None:
    cluster.invariants.disk("b", 0).append(None, [entry(3, 1)])
    cluster.invariants.message_sent(Message("b", "a", 1, AppendEntriesReply(True, match_index=3)))


def leader_believes_too_much(cluster: Cluster) -> None:
    cluster.step(replace(cluster.leader, match_index={("c", 0): 2}))


def leader_believes_in_a_lost_disk(cluster: Cluster) -> None:
    cluster.on_disk("b", 1, [], incarnation=7)
    cluster.step(replace(cluster.leader, match_index={("b", 7): 2}))


def recovery_forgets_entry(cluster: Cluster) -> None:
    cluster.recover("a", HardState(1, "a"), log(1))


def recovery_forgets_vote(cluster: Cluster) -> None:
    cluster.recover("a", HardState(1, None), log(1, 1))


def recovery_invents(cluster: Cluster) -> None:
    cluster.invariants.disk("a", 0).append(None, [entry(3, 1)])
    cluster.recover("a", HardState(1, "a"), log(1, 1, 1, 1))


def recovery_forgets_snapshot(cluster: Cluster) -> None:
    disk = cluster.invariants.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.recover("a", HardState(1, "a"), log(1, 1))


def recovery_forgets_the_rest_of_the_log(cluster: Cluster) -> None:
    disk = cluster.invariants.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.invariants.compacted("a", 0, 1)
    cluster.recover("a", HardState(1, "a"), [], base=(2, 1), taken=snapshot(2, 1))


def recovery_finds_another_disk(cluster: Cluster) -> None:
    cluster.recover("a", HardState(1, "a"), log(1, 1))
    cluster.recover("a", HardState(), [], incarnation=7)


def acknowledges_what_is_not_there(cluster: Cluster) -> None:
    cluster.commit()
    cluster.invariants.write_acknowledged("a", b"another command", 2)


def acknowledges_uncommitted(cluster: Cluster) -> None:
    cluster.invariants.write_acknowledged("a", b"2/1", 2)


def applies_twice(cluster: Cluster) -> None:
    cluster.invariants.command_sent_once(b"1/1")
    cluster.commit()
    cluster.append(entry(3, 1, b"1/1"), commit=3)


def state_machine_applies_twice(cluster: Cluster) -> None:
    cluster.invariants.command_sent_once(b"once")
    cluster.invariants.applied("a", 1, b"once", 1)
    cluster.invariants.applied("a", 2, b"once", 2)


def expired_session_applies(cluster: Cluster) -> None:
    cluster.invariants.command_sent_once(b"late")
    cluster.invariants.session_expired(b"late")
    cluster.invariants.applied("a", 1, b"late", 1)


def reads_the_past(cluster: Cluster) -> None:
    cluster.invariants.read_answered("a", 4, acknowledged_before=5)


BREACHES: list[tuple[Callable[[Cluster], None], str]] = [
    (two_leaders, ELECTION_SAFETY),
    (leader_by_a_learner, LEARNERS),
    (leader_by_a_lost_disk, NON_MEMBERS),
    (leader_by_one_of_two_majorities, ELECTION_SAFETY),
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
    (state_hashes_differ, STATE_MACHINE_SAFETY),
    (commits_old_term, COMMIT_RULE),
    (commits_without_majority, COMMIT_RULE),
    (commits_by_a_learner, LEARNERS),
    (commits_by_a_lost_disk, NON_MEMBERS),
    (commits_by_the_new_majority_alone, COMMIT_RULE),
    (majorities_apart, QUORUMS_OVERLAP),
    (two_changes_at_once, ONE_CHANGE),
    (changes_before_own_commit, OWN_TERM_CHANGE),
    (compacts_without_snapshot, COMPACTION),
    (begins_after_what_no_snapshot_has, COMPACTION),
    (begins_after_another_entry, LOG_MATCHING),
    (snapshot_of_the_uncommitted, SNAPSHOT_CONTENT),
    (snapshot_with_another_term, SNAPSHOT_CONTENT),
    (snapshot_with_another_configuration, SNAPSHOT_CONTENT),
    (snapshots_differ, SNAPSHOT_BYTES),
    (snapshot_is_not_what_it_says, SNAPSHOT_BYTES),
    (sends_what_is_no_chunk, SNAPSHOT_BYTES),
    (speaks_of_a_snapshot_before_its_term_is_on_disk, STABLE_BEFORE_PROMISED),
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
    (leader_believes_in_a_lost_disk, MATCH_INDEX),
    (recovery_forgets_entry, RECOVERY),
    (recovery_forgets_vote, RECOVERY),
    (recovery_invents, RECOVERY),
    (recovery_forgets_snapshot, RECOVERY),
    (recovery_forgets_the_rest_of_the_log, RECOVERY),
    (recovery_finds_another_disk, RECOVERY),
    (acknowledges_what_is_not_there, ACKNOWLEDGED_WRITES),
    (acknowledges_uncommitted, ACKNOWLEDGED_WRITES),
    (applies_twice, AT_MOST_ONCE),
    (state_machine_applies_twice, AT_MOST_ONCE),
    (expired_session_applies, EXPIRED_SESSION),
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
    cluster.recover("a", HardState(1, "a"), log(1, 1))
    cluster.on_disk("b", 2, log(1, 1, 2)[2:], vote="b")
    cluster.step(seen("b", 2, log(1, 1, 2), leads=True, commit=2))
    assert cluster.invariants.committed_index == 2


def test_recovery_may_find_any_prefix_of_what_was_not_synced() -> None:
    cluster = Cluster()
    for kept in range(3):
        disk = cluster.invariants.disk(f"n{kept}", 0)
        disk.append(HardState(3, "b"), [entry(1, 3)])
        expected = [(HardState(), []), (HardState(3, "b"), []), (HardState(3, "b"), [entry(1, 3)])][kept]
        cluster.recover(f"n{kept}", *expected)


def test_a_snapshot_stands_for_what_is_no_longer_in_the_log() -> None:
    cluster = Cluster()
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    taken = snapshot(3, 1)
    disk = cluster.invariants.disk("a", 0)
    disk.begin_to_commit(taken)
    disk.sync()
    cluster.invariants.snapshot_kept("a", taken, b"state")
    cluster.invariants.compacted("a", 0, 2)
    cluster.step(replace(cluster.leader, first_index=3, previous_term=1, entries=cluster.entries[2:], snapshot=taken))
    cluster.recover("a", HardState(1, "a"), cluster.entries[2:], base=(2, 1), taken=taken)
    cluster.invariants.message_sent(Message("a", "c", 1, InstallSnapshot(taken, 2, b"at", 0)))


def test_a_snapshot_that_is_installed_takes_the_place_of_the_log() -> None:
    cluster = Cluster()
    cluster.commit()
    cluster.on_disk("c", 1, log(0, 0))
    disk = cluster.invariants.disk("c", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.recover("c", HardState(1, None), [], base=(2, 1), taken=snapshot(2, 1))
    cluster.step(replace(cluster.leader, match_index={("c", 0): 2}))


def test_a_commit_and_a_compaction_in_one_step_are_right() -> None:
    cluster = Cluster()
    disk = cluster.invariants.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.step(
        replace(cluster.leader, commit_index=2, first_index=3, previous_term=1, entries=[], snapshot=snapshot(2, 1))
    )
    assert cluster.invariants.committed_index == 2


def test_a_change_goes_on_in_the_step_that_commits_it() -> None:
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b")))
    cluster = Cluster([change(1, 0, Configuration.of("a", "b")), *log(1, 1)[1:]])
    cluster.commit()
    cluster.append(change(3, 1, joint))
    cluster.append(change(4, 1, Configuration.of("a")), holders=("a",), commit=4)
    assert cluster.invariants.configuration == Configuration.of("a")


def test_a_change_that_is_compacted_in_the_step_that_commits_it_is_right() -> None:
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b")))
    alone = Configuration.of("a")
    cluster = Cluster([change(1, 0, Configuration.of("a", "b")), *log(1, 1)[1:]])
    cluster.commit()
    cluster.append(change(3, 1, joint))
    cluster.on_disk("a", 1, [change(4, 1, alone)], vote="a")
    taken = snapshot(4, 1, configuration=alone)
    cluster.invariants.disk("a", 0).begin_to_commit(taken)
    cluster.invariants.disk("a", 0).sync()
    seen_before = seen("a", 1, [*cluster.entries, change(4, 1, alone)], leads=True, commit=4)
    cluster.step(replace(seen_before, first_index=5, previous_term=1, entries=[], snapshot=taken))
    assert cluster.invariants.committed_index == 4


def test_a_lost_disk_is_another_node() -> None:
    cluster = Cluster()
    cluster.recover("c", HardState(1, "a"), [])
    cluster.invariants.disk_lost("c")
    cluster.recover("c", HardState(), [], incarnation=7)
    cluster.on_disk("c", 1, [], vote="c", incarnation=7)
    cluster.invariants.message_sent(Message("c", "b", 1, RequestVote(0, 0), sender_incarnation=7))


def test_a_commit_and_the_next_term_in_one_step_is_right() -> None:
    """A slow leader finds in one turn the acknowledgements that commit and the message that deposes it."""
    cluster = Cluster()
    cluster.step(seen("a", 2, log(1, 1), commit=2))
    assert cluster.invariants.committed_index == 2
