"""Each safety property is checked: a violation of it is reported under its name."""

from collections.abc import Callable
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
from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_testbed.simulation.safety.violation import (
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
    STABLE_STORAGE,
    STATE_MACHINE_SAFETY,
    TERM_AND_VOTE,
    Violation,
)
from tests.simulation.observed import ABC, ObservedCluster, change, entry, log, observe, snapshot

Breach = Callable[[ObservedCluster], None]
BREACHES: list[tuple[Breach, str]] = []


def violates(invariant: str) -> Callable[[Breach], Breach]:
    """Register a function that must violate this property."""

    def register(breach: Breach) -> Breach:
        BREACHES.append((breach, invariant))
        return breach

    return register


@violates(ELECTION_SAFETY)
def two_leaders(cluster: ObservedCluster) -> None:
    cluster.step(observe("b", 1, log(1, 1), leads=True))


@violates(LEARNERS)
def leader_elected_by_a_learner(cluster: ObservedCluster) -> None:
    candidate = observe("b", 2, log(1, 1, 2), leads=True, configuration=replace(ABC, learners=(Member("d"),)))
    cluster.vote("d", candidate)
    cluster.checker.step_ended(candidate)


@violates(NON_MEMBERS)
def leader_elected_by_a_lost_disk(cluster: ObservedCluster) -> None:
    candidate = observe("b", 2, log(1, 1, 2), leads=True)
    cluster.vote("c", candidate, incarnation=7)
    cluster.checker.step_ended(candidate)


@violates(ELECTION_SAFETY)
def leader_elected_by_one_of_two_majorities(cluster: ObservedCluster) -> None:
    joint = Configuration(ABC.voters, outgoing=(Member("b"), Member("d"), Member("e")))
    candidate = observe("b", 2, log(1, 1, 2), leads=True, configuration=joint)
    cluster.vote("c", candidate)
    cluster.checker.step_ended(candidate)


@violates(ELECTION_SAFETY)
def leader_without_votes(cluster: ObservedCluster) -> None:
    cluster.checker.step_ended(observe("b", 2, log(1, 1, 2), leads=True))


@violates(OWN_TERM_ENTRY)
def leader_without_own_entry(cluster: ObservedCluster) -> None:
    cluster.step(observe("b", 2, log(1, 1), leads=True))


@violates(LEADER_APPEND_ONLY)
def leader_overwrites(cluster: ObservedCluster) -> None:
    cluster.step(replace(cluster.leader, entries=[*log(1), Entry(2, 1, EntryKind.NOOP, b"other")]))


@violates(LEADER_APPEND_ONLY)
def leader_deletes(cluster: ObservedCluster) -> None:
    cluster.step(replace(cluster.leader, entries=log(1)))


@violates(LOG_MATCHING)
def different_entries_at_the_same_index_and_term(cluster: ObservedCluster) -> None:
    cluster.step(observe("c", 1, [*log(1), entry(2, 1, b"other")]))


@violates(LOG_MATCHING)
def equal_entries_with_different_predecessors(cluster: ObservedCluster) -> None:
    cluster.step(observe("b", 4, log(1, 1, 3)))
    cluster.step(observe("c", 4, log(1, 2, 3)))


@violates(LOG_MATCHING)
def terms_decrease_in_a_log(cluster: ObservedCluster) -> None:
    cluster.step(observe("c", 5, log(5, 4)))


@violates(LOG_MATCHING)
def follower_acknowledges_an_entry_the_leader_lacks(cluster: ObservedCluster) -> None:
    cluster.on_disk("b", 1, [entry(3, 1)], vote="a")
    cluster.checker.message_sent(Message("b", "a", 1, AppendEntriesReply(True, match_index=3)))


@violates(LEADER_COMPLETENESS)
def leader_lacks_a_committed_entry(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(observe("c", 2, log(2), leads=True))


@violates(LEADER_COMPLETENESS)
def commits_an_entry_that_a_later_leader_lacks(cluster: ObservedCluster) -> None:
    cluster.step(observe("c", 2, log(2), leads=True))
    cluster.commit()


@violates(STATE_MACHINE_SAFETY)
def commits_another_entry(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(observe("c", 2, log(1, 2), commit=2))


@violates(STATE_MACHINE_SAFETY)
def applies_an_uncommitted_entry(cluster: ObservedCluster) -> None:
    cluster.step(replace(cluster.leader, applied_index=1))


@violates(STATE_MACHINE_SAFETY)
def applies_other_commands_than_committed(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, applied_index=2, applied_digest=1))


@violates(STATE_MACHINE_SAFETY)
def state_hashes_differ(cluster: ObservedCluster) -> None:
    cluster.commit()
    digest = crc32(b"2/1", crc32(b"1/1"))
    cluster.step(replace(cluster.leader, applied_index=2, applied_digest=digest, state_hash="one"))
    cluster.step(replace(observe("b", 1, cluster.entries, commit=2), applied_index=2, applied_digest=digest))


@violates(STATE_MACHINE_SAFETY)
def results_differ(cluster: ObservedCluster) -> None:
    cluster.checker.state_restored("a", 1, 7)
    cluster.checker.state_restored("b", 1, 8)


@violates(COMMIT_RULE)
def commits_an_entry_of_an_earlier_term(cluster: ObservedCluster) -> None:
    cluster.on_disk("a", 2, log(1, 1, 2), vote="a")
    cluster.step(observe("a", 2, log(1, 1, 2), leads=True))
    cluster.step(observe("a", 2, log(1, 1, 2), leads=True, commit=2))


@violates(COMMIT_RULE)
def commits_without_majority(cluster: ObservedCluster) -> None:
    cluster.append(entry(3, 1), holders=("a",), commit=3)


@violates(LEARNERS)
def commits_by_a_learner(cluster: ObservedCluster) -> None:
    with_learner = replace(ABC, learners=(Member("d"),))
    cluster.commit()
    cluster.append(change(3, 1, with_learner), commit=3)
    cluster.on_disk("d", 1, [*cluster.entries, entry(4, 1)])
    cluster.append(entry(4, 1), holders=("a",), commit=4)


@violates(NON_MEMBERS)
def commits_by_a_lost_disk(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.on_disk("b", 1, [entry(1, 1), entry(2, 1), entry(3, 1)], incarnation=7)
    cluster.append(entry(3, 1), holders=("a",), commit=3)


@violates(COMMIT_RULE)
def commits_by_the_new_majority_alone(cluster: ObservedCluster) -> None:
    """C_new alone cannot commit C_old,new, even if C_new is appended in the same step."""
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b"), Member("c")))
    cluster.commit()
    changes = [change(3, 1, joint), change(4, 1, Configuration.of("a"))]
    cluster.append(*changes, holders=("a",), commit=4)


@violates(QUORUMS_OVERLAP)
def majorities_need_not_overlap(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.append(change(4, 1, Configuration.of("d", "e", "f")), commit=3)


@violates(ONE_CHANGE)
def two_changes_in_progress(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), change(4, 1, Configuration.of("a", "b", "c", "d")))


@violates(OWN_TERM_CHANGE)
def changes_before_a_commit_in_own_term(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(observe("b", 2, log(1, 1, 2), leads=True, commit=2))
    cluster.step(observe("b", 2, [*log(1, 1, 2), change(4, 2, ABC)], leads=True, commit=2))


@violates(COMPACTION)
def compacts_without_a_snapshot(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.checker.compacted("a", 0, 1)


@violates(COMPACTION)
def log_begins_beyond_the_snapshot(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, first_index=3, previous_term=1, entries=[], snapshot=snapshot(1, 1)))


@violates(LOG_MATCHING)
def log_begins_after_an_uncommitted_entry(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(replace(observe("c", 2), first_index=3, previous_term=2, snapshot=snapshot(2, 2), commit_index=2))


@violates(SNAPSHOT_CONTENT)
def snapshot_of_uncommitted_entries(cluster: ObservedCluster) -> None:
    cluster.checker.snapshot_kept("a", snapshot(2, 1), b"state")


@violates(SNAPSHOT_CONTENT)
def snapshot_with_another_term(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.checker.snapshot_kept("a", snapshot(2, 2, configuration=Configuration()), b"state")


@violates(SNAPSHOT_CONTENT)
def snapshot_with_another_configuration(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.checker.snapshot_kept("a", snapshot(3, 1, configuration=Configuration.of("a")), b"state")


@violates(SNAPSHOT_BYTES)
def snapshots_differ(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.checker.snapshot_kept("a", snapshot(3, 1), b"state")
    cluster.checker.snapshot_kept("b", snapshot(3, 1, b"stale"), b"stale")


@violates(SNAPSHOT_BYTES)
def snapshot_differs_from_its_metadata(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.checker.snapshot_kept("a", snapshot(2, 1), b"stale")


@violates(SNAPSHOT_BYTES)
def sends_a_chunk_that_differs_from_the_snapshot(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    cluster.checker.snapshot_kept("a", snapshot(3, 1), b"state")
    cluster.checker.message_sent(Message("a", "c", 1, InstallSnapshot(snapshot(3, 1), 2, b"ta", 0)))


@violates(STABLE_STORAGE)
def acknowledges_a_chunk_before_its_term_is_durable(cluster: ObservedCluster) -> None:
    cluster.checker.message_sent(Message("c", "a", 2, InstallSnapshotReply(2, 5)))


@violates(STABLE_STORAGE)
def acknowledges_a_chunk_before_it_is_written(cluster: ObservedCluster) -> None:
    disk = cluster.checker.disk("c", 0)
    disk.begin_snapshot(2)
    disk.write_snapshot(2, 4)
    cluster.checker.message_sent(Message("c", "a", 1, InstallSnapshotReply(2, 4)))
    cluster.checker.message_sent(Message("c", "a", 1, InstallSnapshotReply(2, 5)))


@violates(COMMIT_RULE)
def follower_commits_first(cluster: ObservedCluster) -> None:
    cluster.step(observe("b", 1, log(1, 1), commit=1))


@violates(COMMIT_RULE)
def commits_beyond_the_log(cluster: ObservedCluster) -> None:
    cluster.step(replace(cluster.leader, commit_index=3))


@violates(COMMIT_INDEX)
def commit_index_decreases(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.step(replace(cluster.leader, commit_index=1))


@violates(TERM_AND_VOTE)
def term_decreases(cluster: ObservedCluster) -> None:
    cluster.step(observe("b", 0, log(1, 1)))


@violates(TERM_AND_VOTE)
def vote_changes(cluster: ObservedCluster) -> None:
    cluster.step(replace(observe("b", 1, log(1, 1)), voted_for="a"))
    cluster.step(replace(observe("b", 1, log(1, 1)), voted_for="c"))


@violates(ONE_VOTE)
def votes_twice(cluster: ObservedCluster) -> None:
    cluster.on_disk("b", 2, [], vote="b")
    cluster.checker.message_sent(Message("b", "a", 2, RequestVote(2, 1)))
    cluster.checker.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=True)))


@violates(STABLE_STORAGE)
def votes_before_the_vote_is_durable(cluster: ObservedCluster) -> None:
    cluster.checker.disk("b", 0).append(HardState(2, "c"), [])
    cluster.checker.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=True)))


@violates(STABLE_STORAGE)
def replies_before_its_term_is_durable(cluster: ObservedCluster) -> None:
    cluster.checker.message_sent(Message("b", "c", 2, RequestVoteReply(vote_granted=False)))


@violates(STABLE_STORAGE)
def acknowledges_before_the_entry_is_durable(cluster: ObservedCluster) -> None:
    cluster.checker.disk("b", 0).append(None, [entry(3, 1)])
    cluster.checker.message_sent(Message("b", "a", 1, AppendEntriesReply(True, match_index=3)))


@violates(MATCH_INDEX)
def match_index_beyond_the_followers_log(cluster: ObservedCluster) -> None:
    cluster.step(replace(cluster.leader, match_index={("c", 0): 2}))


@violates(MATCH_INDEX)
def match_index_of_a_lost_disk(cluster: ObservedCluster) -> None:
    cluster.on_disk("b", 1, [], incarnation=7)
    cluster.step(replace(cluster.leader, match_index={("b", 7): 2}))


@violates(RECOVERY)
def recovery_loses_an_entry(cluster: ObservedCluster) -> None:
    cluster.recover("a", HardState(1, "a"), log(1))


@violates(RECOVERY)
def recovery_loses_a_vote(cluster: ObservedCluster) -> None:
    cluster.recover("a", HardState(1, None), log(1, 1))


@violates(RECOVERY)
def recovery_invents_an_entry(cluster: ObservedCluster) -> None:
    cluster.checker.disk("a", 0).append(None, [entry(3, 1)])
    cluster.recover("a", HardState(1, "a"), log(1, 1, 1, 1))


@violates(RECOVERY)
def recovery_loses_a_snapshot(cluster: ObservedCluster) -> None:
    disk = cluster.checker.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.recover("a", HardState(1, "a"), log(1, 1))


@violates(RECOVERY)
def recovery_loses_the_rest_of_the_log(cluster: ObservedCluster) -> None:
    disk = cluster.checker.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.checker.compacted("a", 0, 1)
    cluster.recover("a", HardState(1, "a"), [], base=(2, 1), taken=snapshot(2, 1))


@violates(RECOVERY)
def recovery_finds_another_disk(cluster: ObservedCluster) -> None:
    cluster.recover("a", HardState(1, "a"), log(1, 1))
    cluster.recover("a", HardState(), [], incarnation=7)


@violates(ACKNOWLEDGED_WRITES)
def acknowledges_a_command_that_is_not_at_the_index(cluster: ObservedCluster) -> None:
    cluster.commit()
    cluster.checker.clients.check_acknowledged_write("a", b"another command", 2)


@violates(ACKNOWLEDGED_WRITES)
def acknowledges_an_uncommitted_command(cluster: ObservedCluster) -> None:
    cluster.checker.clients.check_acknowledged_write("a", b"2/1", 2)


@violates(AT_MOST_ONCE)
def commits_a_command_twice(cluster: ObservedCluster) -> None:
    cluster.checker.clients.command_sent_once(b"1/1")
    cluster.commit()
    cluster.append(entry(3, 1, b"1/1"), commit=3)


@violates(AT_MOST_ONCE)
def applies_a_command_twice(cluster: ObservedCluster) -> None:
    cluster.checker.clients.command_sent_once(b"once")
    cluster.checker.applied("a", 1, b"once", 1)
    cluster.checker.applied("a", 2, b"once", 2)


@violates(EXPIRED_SESSION)
def applies_a_command_of_an_expired_session(cluster: ObservedCluster) -> None:
    cluster.checker.clients.command_sent_once(b"late")
    cluster.checker.clients.session_expired(b"late")
    cluster.checker.applied("a", 1, b"late", 1)


@violates(READS)
def reads_stale_data(cluster: ObservedCluster) -> None:
    cluster.checker.clients.check_read("a", 4, acknowledged_before=5)


@pytest.mark.parametrize(("breach", "invariant"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_violation_is_reported(breach: Breach, invariant: str) -> None:
    cluster = ObservedCluster()
    with pytest.raises(Violation) as caught:
        breach(cluster)
    assert caught.value.invariant == invariant


def test_correct_steps_pass() -> None:
    cluster = ObservedCluster()
    cluster.commit()
    cluster.checker.clients.check_acknowledged_write("a", b"2/1", 2)
    cluster.step(observe("b", 1, log(1, 1), commit=2))
    cluster.recover("a", HardState(1, "a"), log(1, 1))
    cluster.on_disk("b", 2, log(1, 1, 2)[2:], vote="b")
    cluster.step(observe("b", 2, log(1, 1, 2), leads=True, commit=2))
    assert cluster.checker.commits.last_index == 2


def test_recovery_may_find_any_prefix_of_unsynced_writes() -> None:
    cluster = ObservedCluster()
    for kept in range(3):
        disk = cluster.checker.disk(f"n{kept}", 0)
        disk.append(HardState(3, "b"), [entry(1, 3)])
        expected = [(HardState(), []), (HardState(3, "b"), []), (HardState(3, "b"), [entry(1, 3)])][kept]
        cluster.recover(f"n{kept}", *expected)


def test_a_snapshot_replaces_compacted_entries() -> None:
    cluster = ObservedCluster()
    cluster.commit()
    cluster.append(change(3, 1, ABC), commit=3)
    taken = snapshot(3, 1)
    disk = cluster.checker.disk("a", 0)
    disk.begin_to_commit(taken)
    disk.sync()
    cluster.checker.snapshot_kept("a", taken, b"state")
    cluster.checker.compacted("a", 0, 2)
    cluster.step(replace(cluster.leader, first_index=3, previous_term=1, entries=cluster.entries[2:], snapshot=taken))
    cluster.recover("a", HardState(1, "a"), cluster.entries[2:], base=(2, 1), taken=taken)
    cluster.checker.message_sent(Message("a", "c", 1, InstallSnapshot(taken, 2, b"at", 0)))


def test_an_installed_snapshot_replaces_the_log() -> None:
    cluster = ObservedCluster()
    cluster.commit()
    cluster.on_disk("c", 1, log(0, 0))
    disk = cluster.checker.disk("c", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.recover("c", HardState(1, None), [], base=(2, 1), taken=snapshot(2, 1))
    cluster.step(replace(cluster.leader, match_index={("c", 0): 2}))


def test_commit_and_compaction_in_one_step_pass() -> None:
    cluster = ObservedCluster()
    disk = cluster.checker.disk("a", 0)
    disk.begin_to_commit(snapshot(2, 1))
    disk.sync()
    cluster.step(
        replace(cluster.leader, commit_index=2, first_index=3, previous_term=1, entries=[], snapshot=snapshot(2, 1))
    )
    assert cluster.checker.commits.last_index == 2


def test_a_change_that_proceeds_in_the_step_of_its_commit_passes() -> None:
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b")))
    cluster = ObservedCluster([change(1, 0, Configuration.of("a", "b")), *log(1, 1)[1:]])
    cluster.commit()
    cluster.append(change(3, 1, joint))
    cluster.append(change(4, 1, Configuration.of("a")), holders=("a",), commit=4)
    assert cluster.checker.commits.configuration == Configuration.of("a")


def test_a_change_that_is_compacted_in_the_step_of_its_commit_passes() -> None:
    joint = Configuration((Member("a"),), outgoing=(Member("a"), Member("b")))
    alone = Configuration.of("a")
    cluster = ObservedCluster([change(1, 0, Configuration.of("a", "b")), *log(1, 1)[1:]])
    cluster.commit()
    cluster.append(change(3, 1, joint))
    cluster.on_disk("a", 1, [change(4, 1, alone)], vote="a")
    taken = snapshot(4, 1, configuration=alone)
    cluster.checker.disk("a", 0).begin_to_commit(taken)
    cluster.checker.disk("a", 0).sync()
    observed = observe("a", 1, [*cluster.entries, change(4, 1, alone)], leads=True, commit=4)
    cluster.step(replace(observed, first_index=5, previous_term=1, entries=[], snapshot=taken))
    assert cluster.checker.commits.last_index == 4


def test_a_node_with_a_new_disk_may_vote_again() -> None:
    cluster = ObservedCluster()
    cluster.recover("c", HardState(1, "a"), [])
    cluster.checker.disk_lost("c")
    cluster.recover("c", HardState(), [], incarnation=7)
    cluster.on_disk("c", 1, [], vote="c", incarnation=7)
    cluster.checker.message_sent(Message("c", "b", 1, RequestVote(0, 0), sender_incarnation=7))


def test_commit_and_step_down_in_one_step_pass() -> None:
    """A slow leader can handle the acknowledgements that commit and a newer term in one iteration."""
    cluster = ObservedCluster()
    cluster.step(observe("a", 2, log(1, 1), commit=2))
    assert cluster.checker.commits.last_index == 2
