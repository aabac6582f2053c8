"""What becomes of commands and queries: each is settled once, whatever happens to the node that took it."""

import asyncio
import errno
import os

import pytest

from raft_pkg.core.errors import InvariantError, NotLeaderError, TransferRefusedError
from raft_pkg.core.messages import AppendEntries, Message
from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.errors import StorageError
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result
from raft_pkg.server import in_flight
from raft_pkg.server import node as node_module
from raft_pkg.server.batcher import BATCH_SECONDS_MAX
from raft_pkg.storage import Filesystem
from tests.support.clocks import run_in_virtual_time
from tests.support.nodes import NodeCluster, Waiter, get, put


@pytest.fixture
def alone(tmp_path):
    cluster = NodeCluster(tmp_path, voters=["a"])
    cluster.run(1.0)
    yield cluster
    cluster.close()


def result(outcome):
    """What the key-value store answered."""
    return kv.KvResult.FromString(single_result(outcome))


# --- linearizable -----------------------------------------------------------------------------------------------------


def test_a_read_sees_the_write_that_was_answered_before_it(cluster):
    leader = cluster.leader
    cluster.submit(leader, put("key", b"1"))
    cluster.deliver_all()
    waiter = cluster.submit(leader, get("key"))
    assert waiter.flushed == []  # a majority has to say first that this is still the leader
    cluster.deliver_all()
    assert result(waiter.flushed[0]).value == b"1"
    assert waiter.flushed[0].index == leader.applied_index


def test_a_leader_that_was_cut_off_serves_no_stale_read(cluster):
    old = cluster.leader
    cluster.submit(old, put("key", b"old"))
    cluster.run(0.2)
    cluster.cut = {old.config.node_id}
    stale = cluster.submit(old, get("key"))
    cluster.run(0.1)
    assert old.is_leader
    assert stale.flushed == []
    cluster.run(2.0)
    assert cluster.leader is not old
    cluster.submit(cluster.leader, put("key", b"new"))
    cluster.run(0.2)
    assert stale.codes == ["NOT_LEADER"]
    assert cluster.submit(old, get("key")).codes == ["NOT_LEADER"]
    cluster.cut = set()
    cluster.run(1.0)
    fresh = cluster.submit(cluster.leader, get("key"))
    cluster.run(0.1)
    assert result(fresh.flushed[0]).value == b"new"


def test_writes_and_reads_of_a_follower_are_sent_to_the_leader(cluster):
    waiter = cluster.submit(cluster.followers[0], put("key"), get("key"))
    assert waiter.codes == ["NOT_LEADER"] * 2
    leader = cluster.leader.config.node_id
    assert {(outcome.leader_id, outcome.leader_address) for outcome in waiter.flushed} == {
        (leader, cluster.peers[leader])
    }


# --- nobody waits in vain ---------------------------------------------------------------------------------------------


def test_commands_lost_with_the_leadership_are_settled_although_the_new_log_is_shorter(cluster):
    """Regression: they waited until the new leader's log had as many entries, for ever in an idle cluster."""
    old = cluster.leader
    cluster.cut = {old.config.node_id}
    waiters = [cluster.submit(old, put(f"key-{number}")) for number in range(20)]
    cluster.run(2.0)
    assert [waiter.codes for waiter in waiters] == [[]] * 20  # nobody can say yet
    cluster.cut = set()
    cluster.run(1.0)
    assert cluster.leader.raft.log.last_index < 20
    assert [waiter.codes for waiter in waiters] == [["NOT_LEADER"]] * 20


def test_a_command_that_outlives_its_leader_is_settled_with_success(cluster):
    """It was lost with nobody: the new leader has the entry and commits it."""
    old = cluster.leader
    waiter = cluster.submit(old, put("key"))
    for_others = [message for message in cluster.network if message.recipient != old.config.node_id]
    cluster.network[:] = for_others[-1:]  # one follower gets it, and its answer is lost
    chosen = cluster.nodes[for_others[-1].recipient]
    chosen.deliver(cluster.network)
    chosen.run_iteration()
    cluster.network.clear()
    cluster.cut = {old.config.node_id}
    cluster.run(3.0)
    assert cluster.leader is chosen
    cluster.cut = set()
    cluster.run(1.0)
    assert waiter.codes == ["OK"]


async def test_a_node_that_stops_settles_everybody(cluster):
    leader = cluster.leader
    cluster.cut = {leader.config.node_id}
    proposed = cluster.submit(leader, put("key"), put("key"))
    reading = cluster.submit(leader, get("key"))
    queued = Waiter()
    leader.submit(queued, [put("key"), get("key")])
    transfer = leader.transfer_leadership(cluster.followers[0].config.node_id)
    leader.stop("asked to")
    assert await leader.run() == "asked to"
    assert proposed.codes == ["UNKNOWN"] * 2  # others may have it and commit it
    assert reading.codes == ["UNAVAILABLE"]
    assert queued.codes == ["UNAVAILABLE"] * 2
    with pytest.raises(TransferRefusedError, match="asked to"):
        await transfer
    late = Waiter()
    leader.submit(late, [put("key")])
    assert late.codes == ["UNAVAILABLE"], "who comes late is told at once: no turn will come"
    with pytest.raises(TransferRefusedError, match="stopping"):
        await leader.transfer_leadership("b")


async def test_an_error_nobody_thought_of_settles_everybody_too(alone):
    node = alone.nodes["a"]
    waiter = Waiter()

    def fail(_batch, _index):
        raise RuntimeError("a bug")

    node._applier._machine.apply = fail
    node.submit(waiter, [put("key")])
    with pytest.raises(RuntimeError, match="a bug"):
        await node.run()
    assert waiter.codes == ["UNKNOWN"]
    node.submit(waiter, [put("key")])
    assert waiter.codes == ["UNKNOWN", "UNAVAILABLE"]


async def test_a_query_that_ends_the_node_is_settled_too(alone):
    node = alone.nodes["a"]
    waiter = Waiter()

    def fail(_query):
        raise RuntimeError("a bug")

    node._applier._machine.query = fail
    node.submit(waiter, [get("key"), get("key")])
    with pytest.raises(RuntimeError, match="a bug"):
        await node.run()
    assert waiter.codes == ["UNAVAILABLE"] * 2


async def test_a_broken_invariant_ends_the_node_and_says_so(alone):
    node = alone.nodes["a"]

    def fail(_now):
        raise InvariantError("Election Safety")

    node.raft.tick = fail
    with pytest.raises(InvariantError):
        await node.run()
    assert alone.events("a")[-1]["event"] == "invariant_violated"


# --- a disk that fails ------------------------------------------------------------------------------------------------


class FailingFilesystem(Filesystem):
    """The real one until `error` is set; then every sync (or write) fails with it."""

    def __init__(self, failing: str) -> None:
        self.error: int | None = None
        self._failing = failing

    def write(self, descriptor, buffers, offset):
        self._maybe_fail("write")
        return super().write(descriptor, buffers, offset)

    def sync_data(self, descriptor):
        self._maybe_fail("sync")
        super().sync_data(descriptor)

    def _maybe_fail(self, operation):
        if self.error is not None and operation == self._failing:
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize(("failing", "error"), [("write", errno.ENOSPC), ("sync", errno.EIO), ("sync", errno.ENOSPC)])
async def test_a_disk_that_fails_stops_the_node_and_nothing_is_acknowledged(tmp_path, failing, error):
    filesystem = FailingFilesystem(failing)
    cluster = NodeCluster(tmp_path, voters=["a"])
    cluster.stop("a")
    node = cluster.start("a", filesystem=filesystem)
    cluster.run(1.0)
    filesystem.error = error
    waiter = Waiter()
    node.submit(waiter, [put("key", request_id=1), put("key", request_id=2)])
    with pytest.raises(StorageError, match=os.strerror(error)):
        await node.run()
    assert waiter.codes == ["UNKNOWN"] * 2
    failure = cluster.events("a")[-1]
    assert failure["event"] == "storage_failed"
    assert os.strerror(error) in failure["error"]
    assert str(tmp_path / "a") in failure["error"]
    cluster.close()


def follower_with(cluster, filesystem):
    """Node a with this file system, once it follows another leader than itself."""
    cluster.stop("a")
    node = cluster.start("a", filesystem=filesystem)
    cluster.run(2.0)
    cluster.cut = {"a"}
    cluster.run(2.0)
    cluster.cut = set()
    cluster.run(1.0)
    assert node.raft.leader == cluster.leader.config.node_id != "a"
    return node


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_follower_whose_disk_fails_promises_nothing(tmp_path, failing):
    filesystem = FailingFilesystem(failing)
    cluster = NodeCluster(tmp_path)
    node = follower_with(cluster, filesystem)
    cluster.submit(cluster.leader, put("key"))
    sent = [message for message in cluster.network if message.recipient == "a"]
    assert sent
    cluster.network.clear()
    filesystem.error = errno.ENOSPC
    node.deliver(sent)
    with pytest.raises(StorageError):
        node.run_iteration()
    assert cluster.network == []
    cluster.close()


class SlowFilesystem(Filesystem):
    """The real one, but once it is slow a sync takes longer than an election time-out, on the cluster's clock."""

    cluster: NodeCluster | None = None

    def sync_data(self, descriptor):
        super().sync_data(descriptor)
        if self.cluster is not None:
            self.cluster.now += 0.4


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "while it takes a snapshot"])
def test_a_node_with_a_slow_disk_does_not_judge_its_leader_unresponsive(tmp_path, monkeypatch, busy):
    """Regression: after a slow sync of its own, a node started an election before it read the leader's messages."""
    monkeypatch.setattr(node_module.Node, "has_work", busy)
    run_in_virtual_time(_follow_with_a_slow_disk(tmp_path))


async def _follow_with_a_slow_disk(tmp_path):
    filesystem = SlowFilesystem()
    cluster = NodeCluster(tmp_path)
    node = follower_with(cluster, filesystem)
    leader = cluster.leader.raft
    last = node.raft.log.last_index
    cluster.journal.is_checking = False  # the messages are forged

    def receive(prev_log_index, *entries):
        body = AppendEntries(prev_log_index, leader.current_term, entries, 0, 0)
        incarnations = leader.incarnation, node.raft.incarnation
        node.deliver([Message(leader.node_id, "a", leader.current_term, body, *incarnations)])

    receive(last)
    running = asyncio.create_task(node.run())
    await asyncio.sleep(0)
    began = cluster.now
    filesystem.cluster = cluster
    receive(last, Entry(last + 1, leader.current_term, EntryKind.NOOP, b""))
    for _ in range(5):  # the node takes a few steps of the event loop to process a message
        await asyncio.sleep(0)
    assert cluster.now == began + 0.4
    logged = len(cluster.events("a"))
    receive(last + 1)
    await asyncio.sleep(0.4)
    node.stop("the test is over")
    await running
    assert {event["event"] for event in cluster.events("a")[logged:]} <= {"state_hash"}
    assert node.raft.leader == leader.node_id
    cluster.close()


def test_a_node_replies_at_once_after_a_long_time_without_messages(tmp_path, monkeypatch):
    """Regression: an idle node ran no iteration, mistook that for a pause, and delayed its reply to each pre-vote."""
    monkeypatch.setattr(node_module, "CATCH_UP_SECONDS", 60)
    cluster = NodeCluster(tmp_path, heartbeat_interval=0.4, election_timeout_min=60, election_timeout_max=120)
    cluster.run(300)
    leader, node = cluster.leader, cluster.followers[0]

    async def reply():
        loop = asyncio.get_running_loop()
        started_at = cluster.now
        monkeypatch.setattr(node, "_clock", lambda: started_at + loop.time())
        running = asyncio.create_task(node.run())
        await asyncio.sleep(1)
        cluster.now = leader.next_timeout()
        leader.run_iteration()
        node.deliver([message for message in cluster.network if message.recipient == node.config.node_id])
        cluster.network.clear()
        await asyncio.sleep(0.01)
        assert [message.recipient for message in cluster.network] == [leader.config.node_id]
        node.stop("the test is over")
        await running

    run_in_virtual_time(reply())
    cluster.close()


def test_a_leader_that_is_gone_is_replaced_before_a_time_out(cluster):
    old = cluster.leader
    cluster.stop(old.config.node_id)
    for node in cluster.followers:
        node.peer_unreachable(old.config.node_id)
        node.run_iteration()
    cluster.run(0.13)
    assert cluster.leader is not old


# --- limits -----------------------------------------------------------------------------------------------------------


def test_more_than_the_queue_holds_is_refused_and_the_queue_drains(cluster, monkeypatch):
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 1000)
    leader = cluster.leader
    waiter = Waiter()
    leader.submit(waiter, [put("key", b"x" * 100, request_id=number) for number in range(10)])
    assert waiter.codes == ["BUSY"] * 5
    leader.run_iteration()
    cluster.deliver_all()
    assert waiter.codes == ["BUSY"] * 5 + ["OK"] * 5
    cluster.run(BATCH_SECONDS_MAX)
    again = cluster.submit(leader, put("key"), get("key"))
    cluster.deliver_all()
    assert again.codes == ["OK"] * 2


def test_a_refused_command_leaves_no_trace_in_the_queue(cluster, monkeypatch):
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 1000)
    follower = cluster.followers[0]
    for _ in range(50):
        assert cluster.submit(follower, put("key", b"x" * 500), get("key")).codes == ["NOT_LEADER"] * 2


def test_empty_commands_are_counted_too(cluster, monkeypatch):
    """Regression: any number of them fitted into the queue, and into one entry."""
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 64 * 1000)
    monkeypatch.setattr("raft_pkg.server.batcher.ENTRY_BYTES_MAX", 64 * 100)
    leader = cluster.leader
    before = leader.raft.log.last_index
    waiter = cluster.submit(leader, *(pb.Request(id=number, commands=[b""]) for number in range(2000)))
    assert waiter.codes == ["BUSY"] * 1000
    assert leader.raft.log.last_index == before + 10


def test_a_command_over_the_limit_is_invalid_and_so_is_nothing_at_all(cluster):
    waiter = cluster.submit(
        cluster.leader,
        pb.Request(id=1, commands=[b"x" * (in_flight.COMMAND_BYTES_MAX + 1)]),
        pb.Request(id=2),
        pb.Request(id=3, queries=[b"x" * (in_flight.COMMAND_BYTES_MAX + 1)]),
    )
    assert waiter.codes == ["INVALID"] * 3
    assert [outcome.id for outcome in waiter.flushed] == [1, 2, 3]


def test_bytes_that_are_no_command_are_answered_and_harm_nobody(cluster):
    """Whatever is in the log reaches every node's state machine."""
    waiter = cluster.submit(
        cluster.leader,
        pb.Request(id=1, commands=[b"\xff\xff"]),
        pb.Request(id=2, queries=[b"\xff\xff"]),
        put("key", request_id=3),
    )
    cluster.run(0.2)
    assert waiter.codes == ["OK"] * 3
    errors = {outcome.id: result(outcome).error for outcome in waiter.flushed}
    assert errors[1]
    assert errors[2]
    assert not errors[3]
    assert len({node.applied_index for node in cluster.nodes.values()}) == 1


# --- handing over -----------------------------------------------------------------------------------------------------


async def test_leadership_is_handed_over_and_waiting_commands_are_sent_on(cluster):
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    done = leader.transfer_leadership(target)
    leader.run_iteration()
    waiting = cluster.submit(leader, put("key"))
    assert waiting.codes == []
    cluster.run(0.2)
    await asyncio.wait_for(done, 1)
    assert cluster.leader.config.node_id == target
    assert waiting.codes == ["NOT_LEADER"]


async def test_who_asks_between_two_leaders_is_told_of_the_second(cluster):
    """The old leader knows of the election and not of its end: clients would look for a leader when there is none."""
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    done = leader.transfer_leadership(target)
    leader.run_iteration()
    while leader.is_leader:
        cluster.deliver_round()
    assert leader.raft.leader is None
    waiting = cluster.submit(leader, put("key"), get("key"))
    assert waiting.codes == []
    cluster.run(0.2)
    await asyncio.wait_for(done, 1)
    assert {outcome.leader_id for outcome in waiting.flushed} == {target}
    assert waiting.codes == ["NOT_LEADER"] * 2


async def test_a_transfer_that_fails_says_why_and_commands_go_on(cluster):
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    cluster.cut = {target}
    done = leader.transfer_leadership(target)
    leader.run_iteration()
    waiting = cluster.submit(leader, put("key"))
    cluster.run(0.5)
    with pytest.raises(TransferRefusedError, match="did not take over"):
        await done
    assert waiting.codes == ["OK"]
    refused = cluster.followers[0].transfer_leadership(target)
    cluster.followers[0].run_iteration()
    with pytest.raises(NotLeaderError):
        await refused


async def test_a_caller_that_gave_up_a_transfer_does_not_end_the_node(cluster):
    """Regression: the refusal of a future that was cancelled raised, and ended the loop."""
    follower = cluster.followers[0]
    follower.transfer_leadership("a").cancel()
    follower.run_iteration()
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    under_way = leader.transfer_leadership(target)
    leader.run_iteration()
    under_way.cancel()
    cluster.run(0.2)
    assert cluster.leader.config.node_id == target


# --- what a node tells ------------------------------------------------------------------------------------------------


def test_status_is_what_the_node_believes(cluster):
    for node in cluster.nodes.values():
        status = node.status()
        assert (status.id, status.term) == (node.config.node_id, cluster.leader.raft.current_term)
        assert status.role == ("leader" if node is cluster.leader else "follower")
        assert status.leader_address == cluster.peers[cluster.leader.config.node_id]
        assert list(status.voters) == ["a", "b", "c"]


def test_the_log_tells_of_the_election_in_the_order_of_the_contract(cluster):
    leader = cluster.leader.config.node_id
    names = [event["event"] for event in cluster.events(leader) if event["event"] != "state_hash"]
    assert names[0] == "log_recovered"
    assert names[-3:] == ["became_leader", "leader_changed", "configuration_committed"]
    begun = {"index": 1, "voters": ["a", "b", "c"], "learners": [], "outgoing": []}
    for node in cluster.followers:
        *_, last, configured = (e for e in cluster.events(node.config.node_id) if e["event"] != "state_hash")
        assert (last["event"], last["leader"], last["term"]) == ("leader_changed", leader, node.raft.current_term)
        assert (configured["event"], {name: configured[name] for name in begun}) == ("configuration_changed", begun)
    granted = [event for node in cluster.followers for event in cluster.events(node.config.node_id)]
    assert {event["candidate"] for event in granted if event["event"] == "vote_granted"} == {leader}
