"""State hashes in the log: equal at equal indexes while the nodes agree, and different ever after they diverge."""

import pytest

from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.kv import KeyValueStore
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server import applier
from raft_pkg.server.applied import Applied
from raft_pkg.server.state_hash import StateHash
from tests.support.nodes import NodeCluster, append, put

EVERY = 10


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(applier, "STATE_HASH_INTERVAL", EVERY)
    cluster = NodeCluster(tmp_path, snapshot_entries=35, tail_entries=5)
    cluster.run(2.0)
    yield cluster
    cluster.close()


def write(cluster, entries):
    for number in range(entries):
        cluster.submit(cluster.leader, append(f"key-{number % 3}", b"x"))
        cluster.deliver_all()


def published(cluster, node_id):
    """Return index to hash; a node that publishes an index twice must publish the same hash."""
    found = {}
    for event in cluster.events(node_id):
        if event["event"] == "state_hash":
            assert found.setdefault(event["applied_index"], event["hash"]) == event["hash"]
    return found


def test_all_nodes_publish_the_same_hashes_at_the_same_indexes(cluster):
    write(cluster, 34)
    cluster.run(2.0)
    hashes = [published(cluster, node_id) for node_id in cluster.nodes]
    last = cluster.leader.applied_index
    assert hashes[0] == hashes[1] == hashes[2]
    assert {10, 20, 30, last} <= hashes[0].keys()
    assert len(set(hashes[0].values())) == len(hashes[0])
    assert hashes[0][last] == cluster.leader.state_hash


def test_an_idle_node_publishes_its_newest_hash_once(cluster):
    write(cluster, 3)
    cluster.run(5.0)
    last = cluster.leader.applied_index
    for node_id in cluster.nodes:
        indexes = [event["applied_index"] for event in cluster.events(node_id) if event["event"] == "state_hash"]
        assert indexes.count(last) == 1


def test_a_restarted_node_computes_the_same_hash(cluster):
    write(cluster, 24)
    node_id = cluster.followers[0].config.node_id
    cluster.stop(node_id)
    node = cluster.start(node_id)
    cluster.run(2.0)
    assert node.state_hash == cluster.leader.state_hash
    assert published(cluster, node_id).keys() >= {10, 20}


def test_a_node_continues_from_the_hash_of_an_installed_snapshot(cluster):
    away = cluster.followers[0]
    cluster.cut = {away.config.node_id}
    write(cluster, 60)
    cluster.run(0.5)
    cluster.cut = set()
    cluster.run(2.0)
    events = cluster.events(away.config.node_id)
    installed = next(event["index"] for event in events if event["event"] == "snapshot_installed")
    leader = cluster.leader.config.node_id
    assert published(cluster, away.config.node_id)[installed] == published(cluster, leader)[installed]
    write(cluster, 10)
    cluster.run(2.0)
    assert away.state_hash == cluster.leader.state_hash
    cluster.stop(away.config.node_id)
    restarted = cluster.start(away.config.node_id)
    cluster.run(2.0)
    assert restarted.state_hash == cluster.leader.state_hash


def test_an_entry_applied_twice_changes_all_later_hashes(cluster):
    node = cluster.followers[0]
    write(cluster, 4)
    cluster.run(0.5)
    index = node.applied_index
    (entry,) = node.raft.log.slice(index, index + 1)
    results = KeyValueStore.apply(
        node._applier._machine._machine, pb.CommandEntry.FromString(entry.data).batches[0].commands
    )
    node._applier._machine.state_hash.add(entry, 0, [Applied(result, index) for result in results])
    cluster.journal.is_checking = False
    write(cluster, 30)
    cluster.run(2.0)
    own, leaders = published(cluster, node.config.node_id), published(cluster, cluster.leader.config.node_id)
    later = {index for index in own.keys() & leaders.keys() if index > node.applied_index - 20}
    assert later
    assert all(own[index] != leaders[index] for index in later)


def test_a_diverging_state_changes_the_hash_with_the_first_different_result(cluster):
    node = cluster.followers[0]
    cluster.submit(cluster.leader, put("key-0", b"abc"))
    cluster.run(0.5)
    node._applier._machine._machine._values["key-0"] = b"damaged"
    cluster.submit(cluster.leader, put("key-1", b"abc"))
    cluster.run(0.5)
    assert node.state_hash == cluster.leader.state_hash
    cluster.submit(cluster.leader, append("key-0", b"x"))
    cluster.run(0.5)
    assert node.state_hash != cluster.leader.state_hash


ENTRY = Entry(7, 2, EntryKind.COMMANDS, b"data")
PLAIN = (ENTRY, 0, [Applied(b"result", 7)])


@pytest.mark.parametrize(
    "other",
    [
        (Entry(8, 2, EntryKind.COMMANDS, b"data"), 0, [Applied(b"result", 7)]),
        (Entry(7, 2, EntryKind.COMMANDS, b"date"), 0, [Applied(b"result", 7)]),
        (ENTRY, 1, [Applied(b"result", 7)]),
        (ENTRY, 0, [Applied(b"other", 7)]),
        (ENTRY, 0, [Applied(b"result", 6)]),
        (ENTRY, 0, [Applied(b"", 0, expired=True)]),
    ],
    ids=["index", "data", "session", "result", "a repeat", "expired"],
)
def test_any_difference_changes_the_hash(other):
    one, another = StateHash(), StateHash()
    one.add(*PLAIN)
    another.add(*other)
    assert str(one) != str(another)


def test_the_order_of_entries_changes_the_hash():
    one, another = StateHash(), StateHash()
    entries = [(Entry(index, 1, EntryKind.NOOP, b""), 0, []) for index in (1, 2)]
    for state_hash, order in ((one, entries), (another, entries[::-1])):
        for entry in order:
            state_hash.add(*entry)
    assert str(one) != str(another)
