"""Snapshots: when one is due, and how one that is being received interacts with one that is being taken."""

from concurrent.futures import Future
from zlib import crc32

import pytest

from raft_pkg.core.errors import InvariantError
from raft_pkg.core.messages import AppendEntriesReply
from raft_pkg.core.ready import SnapshotChunk
from raft_pkg.core.types import SnapshotMetadata
from raft_pkg.errors import CorruptLogError, StorageError
from raft_pkg.kv import KeyValueStore
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.sessions import SessionedMachine
from raft_pkg.server.snapshots import OVERDUE_FACTOR, Snapshots
from raft_pkg.storage import MemoryStorage
from tests.support.core import carry_out, leader, log_of, receive

ENTRIES = 10


@pytest.fixture
def config(tmp_path):
    return ServerConfig("a", "h:1", {"a": "h:1"}, tmp_path, snapshot_entries=ENTRIES)


@pytest.fixture
def storage():
    storage = MemoryStorage()
    storage.recover()
    storage.append(None, log_of(*[1] * 100))
    storage.sync()
    return storage


@pytest.fixture
def machine():
    return SessionedMachine(KeyValueStore())


@pytest.fixture
def snapshots(config, storage, machine):
    return Snapshots(config, storage, machine)


@pytest.fixture
def raft():
    """Return a leader whose 101 entries are committed and on all followers."""
    raft = leader([1] * 100)
    for peer in "bc":
        receive(raft, peer, AppendEntriesReply(True, match_index=101))
    carry_out(raft)
    assert raft.commit_index == 101
    return raft


def take(snapshots, raft, applied_index):
    """Take a complete snapshot if one is due; return it."""
    taken = snapshots.step(raft, applied_index)
    while taken is None and snapshots.can_step:
        taken = snapshots.step(raft, applied_index)
    if taken is not None:
        raft.snapshot_taken(taken)
    return taken


def chunks_of(machine, index, *sizes):
    """Return a leader's snapshot in chunks of these sizes and one for the rest."""
    data = b"".join(machine.snapshot())
    metadata = SnapshotMetadata(index, 1, leader().configuration, len(data), crc32(data))
    starts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    return [SnapshotChunk(metadata, a, data[a:b]) for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def test_a_snapshot_is_due_after_the_configured_number_of_entries(snapshots, raft):
    assert take(snapshots, raft, ENTRIES - 1) is None
    assert take(snapshots, raft, ENTRIES).index == ENTRIES
    assert take(snapshots, raft, 2 * ENTRIES - 1) is None
    assert take(snapshots, raft, 2 * ENTRIES).index == 2 * ENTRIES


def test_the_next_snapshot_is_postponed_while_one_is_being_sent_but_not_forever(snapshots, raft):
    newest = take(snapshots, raft, ENTRIES)
    raft.progress["b"].begin_snapshot(newest)
    assert take(snapshots, raft, OVERDUE_FACTOR * ENTRIES) is None
    assert take(snapshots, raft, ENTRIES + OVERDUE_FACTOR * ENTRIES) is not None


def test_an_unresponsive_follower_does_not_postpone_the_next_snapshot(snapshots, raft):
    newest = take(snapshots, raft, ENTRIES)
    raft.progress["b"].begin_snapshot(newest)
    raft.progress["b"].last_contact = -raft.config.election_timeout_max
    assert take(snapshots, raft, 2 * ENTRIES) is not None


def test_a_received_snapshot_replaces_one_that_is_being_taken(snapshots, storage, raft, machine):
    machine.apply(pb.CommandEntry(batches=[pb.CommandBatch(commands=[b"no command, but applied"])]), 1)
    first, last = chunks_of(machine, 200, 5)
    snapshots._begin(raft, ENTRIES)
    assert snapshots.can_step
    assert snapshots.keep(first) is None
    assert not snapshots.can_step
    assert take(snapshots, raft, 50) is None, "one at a time"
    assert snapshots.keep(last) == last.metadata
    assert storage.read_snapshot(0, 1000) == first.data + last.data


def test_a_snapshot_that_starts_over_discards_the_chunks_received_before(snapshots, machine):
    first, _ = chunks_of(machine, 200, 5)
    snapshots.keep(first)
    again, last = chunks_of(machine, 201, 7)
    snapshots.keep(again)
    assert snapshots.keep(last) == last.metadata


def test_an_abandoned_transfer_does_not_block_local_snapshots(snapshots, raft, machine):
    """Regression: when the leader failed and the next one sent entries instead, no snapshot was taken again."""
    first, _ = chunks_of(machine, 30, 5)
    snapshots.keep(first)
    assert take(snapshots, raft, 29) is None
    assert take(snapshots, raft, 30).index == 30


def test_a_snapshot_that_differs_from_its_metadata_violates_an_invariant(snapshots, machine):
    """The core has verified the checksum of the data, so the disk must hold something else."""
    (chunk,) = chunks_of(machine, 200)
    wrong = SnapshotMetadata(200, 1, chunk.metadata.configuration, len(chunk.data), 1)
    with pytest.raises(InvariantError, match=r"the snapshot of index 200 is .* on disk, not"):
        snapshots.keep(SnapshotChunk(wrong, 0, chunk.data))


def test_a_snapshot_that_the_state_machine_rejects_is_corrupt(snapshots):
    data = b"of another program"
    metadata = SnapshotMetadata(200, 1, leader().configuration, len(data), crc32(data))
    with pytest.raises(CorruptLogError, match="restore the snapshot of index 200"):
        snapshots.keep(SnapshotChunk(metadata, 0, data))


def test_the_next_chunk_waits_until_the_previous_one_is_on_disk(config, storage, machine, monkeypatch, raft):
    """An executor writes in another thread; the snapshot is complete after the last write."""
    work, written = [], []

    def executor(write):
        work.append((write, Future()))
        return work[-1][1]

    snapshots = Snapshots(config, storage, machine, executor, lambda: written.append(len(work)))
    monkeypatch.setattr(machine, "snapshot", lambda: iter([b"one", b"two"]))
    object.__setattr__(config, "snapshot_step_bytes", 1)
    for number in (1, 2):
        assert snapshots.step(raft, 100) is None
        assert not snapshots.can_step
        assert snapshots.step(raft, 100) is None
        assert len(work) == number
        write, done = work[-1]
        write()
        done.set_result(None)
        assert snapshots.can_step
        assert written == [1, 2][:number]
    assert snapshots.step(raft, 100).index == 100
    assert storage.read_snapshot(0, 100) == b"onetwo"


def test_a_failed_write_of_the_executor_fails_the_node(config, storage, machine, raft):
    failed = Future()
    failed.set_exception(StorageError("the disk failed"))
    snapshots = Snapshots(config, storage, machine, lambda _write: failed)
    object.__setattr__(config, "snapshot_step_bytes", 1)
    snapshots.step(raft, 100)
    with pytest.raises(StorageError, match="the disk failed"):
        snapshots.step(raft, 100)
