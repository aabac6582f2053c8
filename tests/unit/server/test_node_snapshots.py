"""A node's snapshots: taken in steps, sent to slow followers, and their effect on pending requests."""

import asyncio

import pytest

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result
from tests.support.nodes import NodeCluster, Waiter, append, get, put


@pytest.fixture
def cluster(tmp_path):
    cluster = NodeCluster(tmp_path, snapshot_entries=20, tail_entries=5)
    cluster.run(2.0)
    yield cluster
    cluster.close()


@pytest.fixture
def alone(tmp_path):
    """Return a cluster of one node that takes snapshots in many steps."""
    cluster = NodeCluster(tmp_path, voters=["a"], snapshot_entries=20, snapshot_step_bytes=1, tail_entries=5)
    cluster.run(1.0)
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def _an_entry_for_each_command(monkeypatch):
    """Disable batching: snapshots are due by the number of entries."""
    monkeypatch.setattr("raft_pkg.server.batcher.BATCH_BYTES", 0)


def write(cluster, node, *, entries, size=1):
    """Write entries with a value of this size each."""
    waiters = [cluster.submit(node, put(f"key-{number}", b"x" * size)) for number in range(entries)]
    cluster.deliver_all()
    assert {code for waiter in waiters for code in waiter.codes} <= {"OK"}


def value(cluster, node, key, **options):
    waiter = cluster.submit(node, get(key, **options))
    cluster.deliver_all()
    assert waiter.codes == ["OK"]
    return kv.KvResult.FromString(single_result(waiter.flushed[0])).value


def taken(cluster, node_id):
    return [event for event in cluster.events(node_id) if event["event"] == "snapshot_taken"]


def make_busy(cluster, node):
    """Apply enough for a snapshot of many chunks, and run the iteration that starts it."""
    number = 0
    while not node.has_work:
        cluster.submit(node, put(f"key-{number}", b"x" * 200_000))
        number += 1
    return number


def test_a_snapshot_is_taken_over_many_iterations_and_captures_the_initial_state(alone):
    node = alone.nodes["a"]
    make_busy(alone, node)
    captured = node.applied_index
    assert alone.submit(node, put("key-0", b"later")).codes == ["OK"]
    turns = 0
    while node.has_work:
        node.run_iteration()
        turns += 1
    assert turns > 5
    (event,) = taken(alone, "a")
    assert (event["index"], event["first_log_index"]) == (captured, captured - 4)
    assert event["bytes"] > 15 * 200_000
    assert (node.status().snapshot_index, node.status().first_log_index) == (captured, captured - 4)
    alone.stop("a")
    node = alone.start("a")
    assert node.applied_index == captured
    assert alone.events("a")[-1]["snapshot_index"] == captured
    alone.run(1.0)
    assert value(alone, node, "key-0") == b"later", "the entries after the snapshot follow"
    assert value(alone, node, "key-1") == b"x" * 200_000


def test_a_crash_while_taking_a_snapshot_loses_only_the_snapshot(alone):
    node = alone.nodes["a"]
    number = make_busy(alone, node)
    node.run_iteration()
    alone.stop("a")
    node = alone.start("a")
    assert node.applied_index == 0
    alone.run(1.0)
    assert value(alone, node, f"key-{number - 1}") == b"x" * 200_000
    while node.has_work:
        node.run_iteration()
    assert len(taken(alone, "a")) == 1


async def test_requests_are_served_while_a_snapshot_is_taken(alone):
    """The loop does not sleep then, but still lets other tasks run."""
    node = alone.nodes["a"]
    make_busy(alone, node)
    running = asyncio.create_task(node.run())
    answered = 0
    while node.has_work:
        waiter = Waiter()
        node.submit(waiter, [put("during", b"1")])
        while not waiter.flushed:  # noqa: ASYNC110 - nothing but the loop's own turns is waited for
            await asyncio.sleep(0)
        assert waiter.codes == ["OK"]
        answered += 1
    node.stop("the test is over")
    await running
    assert answered > 5


def test_a_snapshot_is_due_by_bytes(tmp_path):
    cluster = NodeCluster(tmp_path, voters=["a"], snapshot_bytes=100_000)
    cluster.run(1.0)
    write(cluster, cluster.nodes["a"], entries=9, size=10_000)
    assert taken(cluster, "a") == []
    write(cluster, cluster.nodes["a"], entries=1, size=10_000)
    assert len(taken(cluster, "a")) == 1
    cluster.close()


def test_every_node_takes_snapshots_and_compacts_its_log(cluster):
    for _ in range(5):
        write(cluster, cluster.leader, entries=20)
    cluster.run(0.2)
    for node_id, node in cluster.nodes.items():
        assert len(taken(cluster, node_id)) >= 4
        assert node.raft.log.last_index - node.raft.log.base_index <= 30


# --- installing a snapshot --------------------------------------------------------------------------------------------


def test_a_follower_that_missed_compacted_entries_installs_the_snapshot(cluster):
    away = cluster.followers[0]
    away_id = away.config.node_id
    cluster.cut = {away_id}
    write(cluster, cluster.leader, entries=100)
    cluster.cut = set()
    cluster.run(2.0)
    (installed,) = [event for event in cluster.events(away_id) if event["event"] == "snapshot_installed"]
    assert installed["index"] > 80
    assert away.applied_index == cluster.leader.applied_index
    write(cluster, cluster.leader, entries=3, size=7)
    assert value(cluster, away, "key-2", any_node=True) == b"x" * 7
    assert value(cluster, away, "key-99", any_node=True) == b"x"
    cluster.stop(away_id)
    away = cluster.start(away_id)
    assert away.applied_index >= installed["index"]
    cluster.run(1.0)
    assert value(cluster, away, "key-99", any_node=True) == b"x"


def test_a_snapshot_of_many_chunks_is_installed(cluster):
    away = cluster.followers[0]
    cluster.cut = {away.config.node_id}
    write(cluster, cluster.leader, entries=40, size=200_000)
    cluster.run(0.5)
    cluster.cut = set()
    cluster.run(2.0)
    assert "snapshot_installed" in [event["event"] for event in cluster.events(away.config.node_id)]
    assert value(cluster, away, "key-0", any_node=True) == b"x" * 200_000
    assert cluster.journal.checked["InstallSnapshotReply"] >= 5


def test_members_show_the_progress_of_a_snapshot_transfer(cluster):
    away = cluster.followers[0].config.node_id
    cluster.cut = {away}
    write(cluster, cluster.leader, entries=40, size=200_000)
    leader = cluster.leader
    while leader.has_work:
        leader.run_iteration()
    size = leader.raft.snapshot.size
    cluster.cut = set()
    cluster.now = leader.raft.next_timeout()
    leader.run_iteration()
    seen = []
    while cluster.network:
        cluster.deliver_round()
        status = next(member for member in leader.members().members if member.id == away)
        seen.append((status.snapshot_bytes_sent, status.snapshot_bytes))
    assert (0, size) in seen
    assert any(0 < sent < size for sent, _ in seen)
    assert seen == [*sorted(seen[:-1]), (0, 0)]
    assert leader.raft.progress[away].match_index == leader.raft.log.last_index


def test_proposals_below_an_installed_snapshot_are_unknown_and_later_ones_are_lost(cluster):
    """The snapshot does not show whether the entries that it replaced were those proposed here."""
    old = cluster.leader
    cluster.cut = {old.config.node_id}
    began = old.raft.log.last_index
    waiters = [cluster.submit(old, append("key", b"x")) for _ in range(150)]
    cluster.run(3.0)
    write(cluster, cluster.leader, entries=60)
    cluster.cut = set()
    cluster.run(2.0)
    installed = [event for event in cluster.events(old.config.node_id) if event["event"] == "snapshot_installed"]
    unknown = installed[0]["index"] - began
    assert 0 < unknown < 150
    assert [waiter.codes for waiter in waiters] == [["UNKNOWN"]] * unknown + [["NOT_LEADER"]] * (150 - unknown)
    assert old._in_flight.queued_bytes == 0


def test_sessions_are_part_of_the_snapshot(cluster):
    """Dissertation §6.3: a repeated command is applied once, also on a node that never had its entry."""
    away = cluster.followers[0]
    cluster.cut = {away.config.node_id}
    opened = cluster.submit(cluster.leader, pb.Request(open_session=True))
    cluster.deliver_all()
    session = opened.flushed[0].session_id
    first = cluster.submit(cluster.leader, append("key", b"once", sequence=1), session_id=session)
    cluster.deliver_all()
    write(cluster, cluster.leader, entries=60)
    cluster.cut = set()
    cluster.run(2.0)
    leader = cluster.leader
    leader.raft.transfer_leadership(away.config.node_id, cluster.now)
    cluster.run(0.5)
    assert cluster.leader is away
    again = cluster.submit(away, append("key", b"once", sequence=1), session_id=session)
    cluster.deliver_all()
    assert [(list(o.results), o.index) for o in again.flushed] == [(list(o.results), o.index) for o in first.flushed]
    assert value(cluster, away, "key") == b"once"
