"""§7, log compaction, and Figure 13: every rule of InstallSnapshot, for receiver and sender."""

from dataclasses import replace
from random import Random
from zlib import crc32

import pytest

from raft_pkg.core.errors import InvariantError
from raft_pkg.core.membership import Remove
from raft_pkg.core.messages import AppendEntries, InstallSnapshot, InstallSnapshotReply
from raft_pkg.core.progress import CHUNK_HEARTBEATS_MAX
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import BecameFollower, ConfigurationChanged, SnapshotChunk
from raft_pkg.core.types import HardState, Role, SnapshotMetadata
from tests.support.changing import ChangingCluster
from tests.support.core import (
    CONFIG,
    acknowledge,
    append,
    candidate,
    carry_out,
    follower,
    log_of,
    raft_events,
    receive,
    replies,
    terms_of,
)
from tests.support.members import configuration, configuration_entry, lead, reject

ABC = configuration("abc")
DATA = b"0123456789"
NO_TAIL = replace(CONFIG, tail_entries_max=0, snapshot_chunk_bytes=4)


def snapshot(index=5, term=2, *, data=DATA, who=ABC):
    """Return the metadata of a snapshot with these bytes."""
    return SnapshotMetadata(index, term, who, len(data), crc32(data))


def send_chunk(raft, metadata, offset, data, *, sender="b", term=None, now=0.0, read_round=0):
    """Deliver a chunk of a leader's snapshot. Return the reply, and all work of the node."""
    receive(raft, sender, InstallSnapshot(metadata, offset, data, read_round), term=term, now=now)
    ready = carry_out(raft)
    (reply,) = replies(ready, InstallSnapshotReply)
    return reply, ready


# --- Figure 13, receiver implementation -------------------------------------------------------------------------------


def test_1_snapshot_of_older_term_is_rejected():
    """Figure 13, receiver 1: "Reply immediately if term < currentTerm"."""
    raft = follower(term=3)
    receive(raft, "b", InstallSnapshot(snapshot(), 0, DATA, 0), term=2)
    ready = carry_out(raft)
    (message,) = ready.messages
    assert (message.term, message.body) == (3, InstallSnapshotReply(5, 0))
    assert ready.chunks == []


def test_2_first_chunk_begins_a_new_snapshot():
    """Figure 13, receiver 2: "Create new snapshot file if first chunk (offset is 0)"."""
    reply, ready = send_chunk(follower(term=3), snapshot(), 0, DATA[:4])
    assert ready.chunks == [SnapshotChunk(snapshot(), 0, DATA[:4])]
    assert reply == InstallSnapshotReply(5, 4)


def test_3_chunks_are_written_at_their_offsets_in_order():
    """Figure 13, receiver 3: "Write data into snapshot file at given offset"."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, ready = send_chunk(raft, snapshot(), 4, DATA[4:8])
    assert ready.chunks == [SnapshotChunk(snapshot(), 4, DATA[4:8])]
    assert reply.next_offset == 8


@pytest.mark.parametrize("offset", [0, 2, 6], ids=["a second time", "overlapping", "with a gap"])
def test_3_chunk_at_unexpected_offset_is_not_written(offset):
    """Figure 13, receiver 3, on a network that duplicates and reorders: the reply contains the next offset."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, ready = send_chunk(raft, snapshot(), offset, DATA[offset : offset + 4])
    assert ready.chunks == []
    assert reply.next_offset == 4


def test_3_chunk_beyond_the_size_is_not_written():
    """Figure 13, receiver 3: the metadata have the size."""
    reply, ready = send_chunk(follower(term=3), snapshot(), 0, DATA + b"more")
    assert (ready.chunks, reply.next_offset) == ([], 0)


def test_4_incomplete_snapshot_is_not_installed():
    """Figure 13, receiver 4: "Reply and wait for more data chunks if done is false"."""
    raft = follower([1, 1], term=3)
    reply, ready = send_chunk(raft, snapshot(), 0, DATA[:9])
    assert not ready.chunks[-1].is_last
    assert reply.next_offset < snapshot().size
    assert (terms_of(raft), raft.commit_index, raft.snapshot) == ([1, 1], 0, None)


def test_5_another_snapshot_replaces_an_incomplete_one():
    """Figure 13, receiver 5: "discard any existing or partial snapshot with a smaller index"."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    newer = snapshot(index=9)
    assert send_chunk(raft, newer, 4, DATA[4:8])[0] == InstallSnapshotReply(9, 0)
    reply, ready = send_chunk(raft, newer, 0, DATA)
    assert [chunk.is_last for chunk in ready.chunks] == [True]
    assert reply == InstallSnapshotReply(9, len(DATA))
    assert raft.snapshot == newer


@pytest.mark.parametrize("terms", [(1, 1, 1, 2, 2, 2, 2), (1, 1, 1, 2, 2)], ids=["with entries after it", "to its end"])
def test_6_log_with_the_last_included_entry_is_kept(terms):
    """Figure 13, receiver 6: "If existing log entry has same index and term … retain log entries following it and
    reply"; §7: the entries up to there are committed."""
    raft = follower(terms, term=3)
    reply, ready = send_chunk(raft, snapshot(), 0, DATA[:4])
    assert reply == InstallSnapshotReply(5, len(DATA))
    assert ready.chunks == []
    assert terms_of(raft) == list(terms)
    assert (raft.commit_index, [entry.index for entry in ready.committed]) == (5, [1, 2, 3, 4, 5])


def test_6_snapshot_of_committed_entries_is_not_installed():
    """§7: a stale or duplicate snapshot does not take the state machine back."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA)
    append(raft, "b", (5, 2), log_of(1, 1, 1, 1, 1, 3, 3)[5:], commit=7)
    reply, ready = send_chunk(raft, snapshot(), 0, DATA)
    assert (reply, ready.chunks) == (InstallSnapshotReply(5, len(DATA)), [])
    assert (raft.commit_index, raft.log.last_index) == (7, 7)


@pytest.mark.parametrize("terms", [(), (1, 1), (1, 1, 1, 1, 1, 1, 1)], ids=["empty", "shorter", "in conflict"])
def test_7_other_log_is_discarded(terms):
    """Figure 13, receiver 7: "Discard the entire log"."""
    raft = follower(terms, term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, ready = send_chunk(raft, snapshot(), 4, DATA[4:])
    assert ready.chunks[-1].is_last
    assert reply == InstallSnapshotReply(5, len(DATA))
    assert (raft.log.base_index, raft.log.last_index, raft.log.last_term) == (5, 5, 2)


def test_8_configuration_of_the_snapshot_takes_effect():
    """Figure 13, receiver 8: "load snapshot's cluster configuration"."""
    who = configuration("ab", learners="d")
    raft = follower(term=3, configuration=ABC)
    _, ready = send_chunk(raft, snapshot(who=who), 0, DATA)
    assert (raft.configuration, raft.configuration_index) == (who, 5)
    assert raft_events(ready, ConfigurationChanged) == [ConfigurationChanged(3, 5, who)]
    assert sorted(ready.addresses) == ["a", "b", "d"]


def test_8_covered_entries_are_committed_and_not_applied():
    """Figure 13, receiver 8: "Reset state machine using snapshot contents"."""
    raft = follower([1, 1], term=3)
    _, ready = send_chunk(raft, snapshot(), 0, DATA)
    assert (raft.commit_index, ready.committed) == (5, [])
    receive(raft, "b", AppendEntries(5, 2, tuple(log_of(1, 1, 1, 1, 1, 3)[5:]), 6, 0))
    ready = carry_out(raft)
    assert [entry.index for entry in ready.entries] == [entry.index for entry in ready.committed] == [6]


# --- other rules for receivers ----------------------------------------------------------------------------------------


def test_snapshot_with_wrong_checksum_is_not_installed():
    """§7, on faulty disks: the snapshot is sent again from the beginning."""
    raft = follower([1], term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, ready = send_chunk(raft, snapshot(), 4, b"damage")
    assert ready.chunks == []
    assert reply == InstallSnapshotReply(5, 0)
    assert (terms_of(raft), raft.commit_index) == ([1], 0)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    assert send_chunk(raft, snapshot(), 4, DATA[4:])[1].chunks[-1].is_last


def test_another_leader_continues_the_same_snapshot():
    """Figure 13: snapshots with equal metadata have equal bytes."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, _ = send_chunk(raft, snapshot(), 4, DATA[4:], sender="c", term=4)
    assert (reply.next_offset, raft.snapshot) == (len(DATA), snapshot())


def test_empty_snapshot_can_be_installed():
    """§7: the state of a state machine may be empty."""
    empty = snapshot(data=b"")
    raft = follower(term=3)
    reply, ready = send_chunk(raft, empty, 0, b"")
    assert (reply, ready.chunks) == (InstallSnapshotReply(5, 0), [SnapshotChunk(empty, 0, b"")])
    assert raft.snapshot == empty


def test_chunk_without_data_requests_the_offset():
    """§5.2: heartbeats continue during a snapshot, and write nothing."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4])
    reply, ready = send_chunk(raft, snapshot(), 4, b"", read_round=7)
    assert (reply, ready.chunks) == (InstallSnapshotReply(5, 4, read_round=7), [])


def test_chunk_resets_the_election_timer():
    """§5.2: it comes from the current leader."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA[:4], now=7.0)
    assert raft.leader == "b"
    assert raft.next_timeout() >= 7.0 + CONFIG.election_timeout_min


def test_candidate_steps_down_on_snapshot_of_its_term():
    """§5.2: only the leader of the term sends one."""
    raft = candidate(term=3)
    _, ready = send_chunk(raft, snapshot(), 0, DATA[:4])
    assert raft_events(ready, BecameFollower) == [BecameFollower(4, "b", "b leads")]


def test_leader_raises_on_snapshot_of_another_leader():
    """Figure 3, Election Safety."""
    raft = lead(ABC)
    with pytest.raises(InvariantError, match="Election Safety"):
        receive(raft, "b", InstallSnapshot(snapshot(), 0, DATA, 0))


def test_entries_covered_by_the_snapshot_are_skipped():
    """§7, Figure 2, receiver 2: compacted entries are committed, so they match."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA)
    reply = append(raft, "b", (2, 1), log_of(1, 1, 2, 2, 2, 3, 3)[2:], commit=6)
    assert (reply.success, reply.match_index) == (True, 7)
    assert ([entry.index for entry in raft.log.slice(6, 8)], raft.commit_index) == ([6, 7], 6)


def test_append_covered_by_the_snapshot_matches():
    """§7: and it changes nothing."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA)
    reply = append(raft, "b", (1, 1), log_of(1, 1, 1)[1:], commit=3)
    assert (reply.success, reply.match_index) == (True, 5)
    assert (raft.commit_index, raft.log.last_index) == (5, 5)


def test_rejection_does_not_back_up_behind_the_snapshot():
    """§5.3, §7: the fast back-up stops at the base of the log."""
    raft = follower(term=3)
    send_chunk(raft, snapshot(), 0, DATA)
    append(raft, "b", (5, 2), log_of(1, 1, 1, 1, 1, 3, 3)[5:])
    reply = append(raft, "c", (7, 4), term=4)
    assert (reply.success, reply.conflict_term, reply.conflict_index) == (False, 3, 6)


def test_server_restarts_from_its_snapshot():
    """Figure 13: the snapshot covers the entries that the log does not have."""
    who = configuration("abc", learners="d")
    raft = Raft(
        "a",
        ABC,
        config=CONFIG,
        random=Random(0),
        now=0.0,
        hard_state=HardState(3),
        entries=[configuration_entry(4, 2, who), *log_of(1, 1, 1, 1, 2, 3)[4:]],
        base=(3, 2),
        snapshot=snapshot(who=who),
    )
    ready = carry_out(raft)
    assert (raft.commit_index, ready.committed, raft.configuration) == (5, [], who)
    assert [raft.log.term_at(index) for index in (3, 4, 5, 6)] == [2, 2, 2, 3]


def test_server_restarts_from_snapshot_newer_than_its_log():
    """Figure 13, receiver 7: it crashed between the snapshot and discarding the log."""
    raft = Raft(
        "a",
        ABC,
        config=CONFIG,
        random=Random(0),
        now=0.0,
        hard_state=HardState(3),
        entries=log_of(1, 1),
        snapshot=snapshot(),
    )
    assert (raft.log.base_index, raft.log.last_term, raft.commit_index) == (5, 2, 5)
    assert append(raft, "b", (5, 2)).success


# --- compaction -------------------------------------------------------------------------------------------------------


def compacted(*, entries=10, config=NO_TAIL, upto=None):
    """Return a leader in term 2 with committed entries of term 1, one of its own, and a snapshot."""
    raft = lead(ABC, terms=[1] * entries, config=config, unresponsive="c")
    index = upto or raft.commit_index
    taken = snapshot(index, raft.log.term_at(index))
    raft.snapshot_taken(taken)
    return raft, taken


def test_log_is_compacted_up_to_the_snapshot():
    """§7: "Once a server completes writing a snapshot, it may delete all log entries up through the last included"."""
    raft, taken = compacted()
    assert (raft.log.base_index, raft.log.last_index, raft.snapshot) == (11, 11, taken)
    assert raft.configuration_at(11) == ABC


def test_tail_is_kept_for_slow_followers():
    """Dissertation §5.1.3: a follower that is slightly behind needs no snapshot."""
    raft, _ = compacted(config=replace(CONFIG, tail_entries_max=3))
    assert (raft.log.base_index, raft.log.first_index) == (8, 9)
    reject(raft, "c", 10, 9)
    (body,) = replies(carry_out(raft), AppendEntries)
    assert [entry.index for entry in body.entries] == [9, 10, 11]


def test_tail_is_limited_in_bytes():
    """Dissertation §5.1.3: each of these entries has one byte; the no-op entry of the leader has none."""
    raft, _ = compacted(config=replace(CONFIG, tail_bytes_max=2))
    assert raft.log.first_index == 9


def test_log_shorter_than_the_tail_is_not_compacted():
    """Dissertation §5.1.3."""
    raft, _ = compacted(config=CONFIG)
    assert (raft.log.base_index, raft.log.last_index) == (0, 11)


def test_entries_after_the_snapshot_are_kept():
    """§7: a snapshot covers only committed entries."""
    raft, _ = compacted(upto=4)
    assert (raft.log.base_index, raft.log.last_index) == (4, 11)


# --- Figure 13, the leader's side -------------------------------------------------------------------------------------


def behind(config=NO_TAIL):
    """Return a leader whose follower c needs the first entries, which are compacted."""
    raft, taken = compacted(config=config)
    reject(raft, "c", 10, 1)
    return raft, taken


def chunks(ready):
    """Return recipient and offset of each chunk that is sent."""
    return [(message.recipient, body.offset) for message, body in ready.snapshot_messages]


def reply(raft, taken, next_offset, *, sender="c", now=0.0, read_round=0):
    """Deliver a follower's reply with its offset."""
    receive(raft, sender, InstallSnapshotReply(taken.index, next_offset, read_round), now=now)
    return carry_out(raft)


def test_follower_that_needs_compacted_entries_gets_the_snapshot():
    """§7: "when the leader has already discarded the next log entry that it needs to send to a follower"."""
    raft, taken = behind()
    ready = carry_out(raft)
    (message,) = [message for message, _ in ready.snapshot_messages]
    assert (message.recipient, message.body) == ("c", InstallSnapshot(taken, 0, b"", 0))
    assert raft.progress["c"].snapshot == taken


def test_next_chunk_is_sent_when_the_last_is_acknowledged():
    """Figure 13: "Leaders always send chunks in order"."""
    raft, taken = behind()
    assert chunks(carry_out(raft)) == [("c", 0)]
    assert chunks(carry_out(raft)) == []
    assert chunks(reply(raft, taken, 4)) == [("c", 4)]
    assert chunks(reply(raft, taken, 4)) == []
    assert chunks(reply(raft, taken, 8)) == [("c", 8)]


def test_entries_follow_the_last_chunk():
    """Figure 13, §7: the follower's log matches up to the snapshot's index."""
    raft, taken = behind()
    entry = raft.propose(b"x")
    carry_out(raft)
    ready = reply(raft, taken, taken.size)
    assert chunks(ready) == []
    assert [(m.recipient, m.body.entries) for m in ready.early_messages if m.recipient == "c"] == [("c", (entry,))]
    progress = raft.progress["c"]
    assert (progress.match_index, progress.snapshot) == (taken.index, None)


def test_installed_snapshot_counts_for_commitment():
    """§7: the entries that it covers are on that disk."""
    raft = lead(configuration("abc"), terms=[1] * 3, config=NO_TAIL, unresponsive="c")
    raft.snapshot_taken(snapshot(4, 2))
    entry = raft.propose(b"x")
    carry_out(raft)
    reject(raft, "c", 3, 1)
    carry_out(raft)
    reply(raft, raft.snapshot, raft.snapshot.size)
    assert raft.commit_index == 4
    acknowledge(raft, "c", up_to=entry.index)
    assert raft.commit_index == entry.index


def test_lost_chunk_is_sent_again_after_some_heartbeats():
    """Figure 13 on a network that loses messages; chunks are large, so not at the next heartbeat."""
    raft, _ = behind()
    carry_out(raft)
    for _ in range(CHUNK_HEARTBEATS_MAX):
        raft.tick(raft.next_timeout())
        ready = carry_out(raft)
        assert chunks(ready) == []
        assert [m.body.data for m in ready.early_messages if m.recipient == "c"] == [b""]
    raft.tick(raft.next_timeout())
    assert chunks(carry_out(raft)) == [("c", 0)]


def test_interrupted_snapshot_continues_at_the_followers_offset():
    """Figure 13: the reply has the offset."""
    raft, taken = behind()
    carry_out(raft)
    reply(raft, taken, 4)  # the chunk at offset 4 is lost
    raft.tick(raft.next_timeout())
    carry_out(raft)
    assert chunks(reply(raft, taken, 8)) == [("c", 8)]


def test_follower_that_lost_its_chunks_starts_again():
    """Figure 13: it has restarted, or the checksum was wrong."""
    raft, taken = behind()
    carry_out(raft)
    reply(raft, taken, 8)
    assert chunks(reply(raft, taken, 0)) == [("c", 0)]


def test_newer_snapshot_is_sent_from_the_beginning():
    """§7: the entries after the older one may be compacted."""
    raft, taken = behind()
    carry_out(raft)
    reply(raft, taken, 4)
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b")
    newer = snapshot(12, 2, data=b"newer")
    raft.snapshot_taken(newer)
    ready = carry_out(raft)
    assert [(body.metadata, body.offset) for _, body in ready.snapshot_messages] == [(newer, 0)]
    assert chunks(reply(raft, taken, 8)) == []  # a reply for the older one


def test_reply_for_another_snapshot_is_ignored():
    """Figure 13: it does not belong to a request in flight."""
    raft, _ = behind()
    carry_out(raft)
    receive(raft, "c", InstallSnapshotReply(3, 10))
    assert raft.progress["c"].match_index == 0


def test_snapshot_reply_after_a_match_changes_nothing():
    """§5.3: matchIndex "increases monotonically"."""
    raft, taken = behind()
    carry_out(raft)
    acknowledge(raft, "c")
    reply(raft, taken, 4)
    assert (raft.progress["c"].match_index, raft.progress["c"].snapshot) == (11, None)


def test_former_leader_ignores_snapshot_replies():
    """Figure 2, All Servers."""
    raft, taken = behind()
    carry_out(raft)
    receive(raft, "b", AppendEntries(11, 2, (), 0, 0), term=3)
    receive(raft, "c", InstallSnapshotReply(taken.index, 4), term=3)
    assert (raft.role, raft.progress) == (Role.FOLLOWER, {})


def test_snapshot_reply_of_newer_term_deposes_the_leader():
    """Figure 13: term in the results is "for leader to update itself"."""
    raft, taken = behind()
    receive(raft, "c", InstallSnapshotReply(taken.index, 0), term=9)
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 9)


def test_snapshot_to_one_follower_does_not_delay_commits():
    """§7: a majority is enough to commit."""
    raft, taken = behind()
    carry_out(raft)
    assert raft.is_sending_snapshot()
    raft.propose(b"x")
    ready = carry_out(raft)
    assert [m.recipient for m in ready.early_messages if m.body.entries] == ["b"]
    acknowledge(raft, "b")
    assert raft.commit_index == 12
    reply(raft, taken, taken.size)
    assert not raft.is_sending_snapshot()


def test_unresponsive_follower_does_not_prevent_a_new_snapshot():
    """§7: it may never return."""
    raft, taken = behind()
    carry_out(raft)
    reply(raft, taken, 4, now=1.0)
    assert raft.is_sending_snapshot()
    raft.tick(2.0)
    assert not raft.is_sending_snapshot()


def test_chunk_replies_confirm_reads():
    """Dissertation §6.4: a reply to a chunk counts like one to a heartbeat."""
    raft, taken = behind()
    carry_out(raft)
    request_id = raft.read_index()
    ready = carry_out(raft)
    assert {message.body.read_round for message in ready.early_messages} == {1}
    assert reply(raft, taken, 4, read_round=1).reads == [(request_id, 11)]


def test_leader_without_entry_and_snapshot_raises():
    """§7: that is impossible, and continuing would spread the damage."""
    raft, _ = behind()
    raft._state.snapshot = None
    with pytest.raises(InvariantError, match="a leads, and has neither entry 1 nor a snapshot"):
        carry_out(raft)


# --- a whole cluster --------------------------------------------------------------------------------------------------


def test_slow_follower_catches_up_by_snapshot_then_entries():
    """§7, with chunks of any size, and a crash of the follower in between."""
    cluster = ChangingCluster("abc", config=replace(NO_TAIL, snapshot_chunk_bytes=50))
    cluster.run(2.0)
    leader = cluster.leader.node_id
    slow = next(node_id for node_id in "abc" if node_id != leader)
    cluster.crash(slow)
    for number in range(20):
        cluster.propose(leader, b"%d" % number)
        cluster.run(0.05)
    cluster.snapshot(leader)
    cluster.start(slow)
    cluster.deliver_all(lambda message: slow not in (message.sender, message.recipient))
    for _ in range(200):
        if slow in cluster.incoming:
            break
        cluster.run(0.01)
    cluster.crash(slow)
    cluster.start(slow)
    cluster.propose(leader, b"after")
    cluster.run(1.0)
    assert cluster.installed == 1
    assert cluster[slow].snapshot is not None
    assert cluster.members[slow].applied == cluster.members[leader].applied
    assert cluster.members[slow].applied[-1].data == b"after"


def test_snapshot_brings_the_configuration():
    """§7, §6: the follower missed the change, and its entries are compacted."""
    cluster = ChangingCluster("abcd", config=NO_TAIL)
    cluster.run(2.0)
    leader = cluster.leader.node_id
    slow, removed = [node_id for node_id in "abcd" if node_id != leader][:2]
    cluster.crash(slow)
    cluster.change(leader, Remove(removed))
    cluster.run(1.0)
    cluster.snapshot(leader)
    assert cluster[leader].log.base_index == cluster[leader].commit_index
    cluster.start(slow)
    cluster.run(1.0)
    assert cluster[slow].configuration == cluster[leader].configuration
    assert removed not in cluster[slow].voters
