"""Commands and queries: each gets exactly one outcome, whatever happens to the node."""

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
    """Return the key-value store's result."""
    return kv.KvResult.FromString(single_result(outcome))


# --- linearizable -----------------------------------------------------------------------------------------------------


def test_a_read_returns_the_write_that_completed_before_it(cluster):
    leader = cluster.leader
    cluster.submit(leader, put("key", b"1"))
    cluster.deliver_all()
    waiter = cluster.submit(leader, get("key"))
    assert waiter.flushed == []  # a majority has to confirm the leadership first
    cluster.deliver_all()
    assert result(waiter.flushed[0]).value == b"1"
    assert waiter.flushed[0].index == leader.applied_index


def test_a_leader_that_is_cut_off_serves_no_stale_read(cluster):
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


def test_a_follower_refers_writes_and_reads_to_the_leader(cluster):
    waiter = cluster.submit(cluster.followers[0], put("key"), get("key"))
    assert waiter.codes == ["NOT_LEADER"] * 2
    leader = cluster.leader.config.node_id
    assert {(outcome.leader_id, outcome.leader_address) for outcome in waiter.flushed} == {
        (leader, cluster.peers[leader])
    }


# --- every request gets an outcome ------------------------------------------------------------------------------------


def test_commands_lost_with_the_leadership_complete_although_the_new_log_is_shorter(cluster):
    """Regression: they waited until the new leader's log had as many entries: forever, in an idle cluster."""
    old = cluster.leader
    cluster.cut = {old.config.node_id}
    waiters = [cluster.submit(old, put(f"key-{number}")) for number in range(20)]
    cluster.run(2.0)
    assert [waiter.codes for waiter in waiters] == [[]] * 20  # the outcome is not known yet
    cluster.cut = set()
    cluster.run(1.0)
    assert cluster.leader.raft.log.last_index < 20
    assert [waiter.codes for waiter in waiters] == [["NOT_LEADER"]] * 20


def test_a_command_that_the_next_leader_commits_completes_with_success(cluster):
    """The entry is not lost: the new leader has it and commits it."""
    old = cluster.leader
    waiter = cluster.submit(old, put("key"))
    for_others = [message for message in cluster.network if message.recipient != old.config.node_id]
    cluster.network[:] = for_others[-1:]  # one follower receives it, and its reply is lost
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


async def test_a_node_that_stops_completes_all_requests(cluster):
    leader = cluster.leader
    cluster.cut = {leader.config.node_id}
    proposed = cluster.submit(leader, put("key"), put("key"))
    reading = cluster.submit(leader, get("key"))
    queued = Waiter()
    leader.submit(queued, [put("key"), get("key")])
    transfer = leader.transfer_leadership(cluster.followers[0].config.node_id)
    leader.stop("asked to")
    assert await leader.run() == "asked to"
    assert proposed.codes == ["UNKNOWN"] * 2  # other nodes may commit it
    assert reading.codes == ["UNAVAILABLE"]
    assert queued.codes == ["UNAVAILABLE"] * 2
    with pytest.raises(TransferRefusedError, match="asked to"):
        await transfer
    late = Waiter()
    leader.submit(late, [put("key")])
    assert late.codes == ["UNAVAILABLE"], "a late request completes at once: no iteration follows"
    with pytest.raises(TransferRefusedError, match="stopping"):
        await leader.transfer_leadership("b")


async def test_an_unexpected_error_completes_all_requests(alone):
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


async def test_a_query_that_ends_the_node_completes(alone):
    node = alone.nodes["a"]
    waiter = Waiter()

    def fail(_query):
        raise RuntimeError("a bug")

    node._applier._machine.query = fail
    node.submit(waiter, [get("key"), get("key")])
    with pytest.raises(RuntimeError, match="a bug"):
        await node.run()
    assert waiter.codes == ["UNAVAILABLE"] * 2


async def test_an_invariant_violation_ends_the_node_and_is_logged(alone):
    node = alone.nodes["a"]

    def fail(_now):
        raise InvariantError("Election Safety")

    node.raft.tick = fail
    with pytest.raises(InvariantError):
        await node.run()
    assert alone.events("a")[-1]["event"] == "invariant_violated"


# --- a disk that fails ------------------------------------------------------------------------------------------------


class FailingFilesystem(Filesystem):
    """The real file system until `error` is set; then every sync (or write) fails with it."""

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
async def test_a_failing_disk_stops_the_node_and_nothing_is_acknowledged(tmp_path, failing, error):
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
    """Return node a on this file system, once it follows another leader."""
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
def test_a_follower_whose_disk_fails_sends_no_reply(tmp_path, failing):
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
    """The real file system; once `cluster` is set, a sync takes longer than an election time-out."""

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


def test_an_unreachable_leader_is_replaced_before_a_time_out(cluster):
    old = cluster.leader
    cluster.stop(old.config.node_id)
    for node in cluster.followers:
        node.peer_unreachable(old.config.node_id)
        node.run_iteration()
    cluster.run(0.13)
    assert cluster.leader is not old


# --- limits -----------------------------------------------------------------------------------------------------------


def test_requests_beyond_the_queue_limit_are_rejected_and_the_queue_drains(cluster, monkeypatch):
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


def test_rejected_requests_do_not_count_against_the_queue_limit(cluster, monkeypatch):
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 1000)
    follower = cluster.followers[0]
    for _ in range(50):
        assert cluster.submit(follower, put("key", b"x" * 500), get("key")).codes == ["NOT_LEADER"] * 2


def test_empty_commands_count_against_the_limits(cluster, monkeypatch):
    """Regression: any number of them fitted into the queue and into one entry."""
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 64 * 1000)
    monkeypatch.setattr("raft_pkg.server.batcher.ENTRY_BYTES_MAX", 64 * 100)
    leader = cluster.leader
    before = leader.raft.log.last_index
    waiter = cluster.submit(leader, *(pb.Request(id=number, commands=[b""]) for number in range(2000)))
    assert waiter.codes == ["BUSY"] * 1000
    assert leader.raft.log.last_index == before + 10


def test_requests_that_are_too_large_or_empty_are_invalid(cluster):
    waiter = cluster.submit(
        cluster.leader,
        pb.Request(id=1, commands=[b"x" * (in_flight.COMMAND_BYTES_MAX + 1)]),
        pb.Request(id=2),
        pb.Request(id=3, queries=[b"x" * (in_flight.COMMAND_BYTES_MAX + 1)]),
    )
    assert waiter.codes == ["INVALID"] * 3
    assert [outcome.id for outcome in waiter.flushed] == [1, 2, 3]


def test_malformed_commands_get_an_error_result_and_do_no_harm(cluster):
    """Every node's state machine applies whatever is in the log."""
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


# --- leadership transfer ----------------------------------------------------------------------------------------------


async def test_commands_that_wait_for_a_transfer_are_referred_to_the_new_leader(cluster):
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    done = leader.transfer_leadership(target)
    leader.run_iteration()
    waiting = cluster.submit(leader, put("key"))
    assert waiting.codes == []
    cluster.run(0.2)
    await asyncio.wait_for(done, 1)
    assert cluster.leader.config.node_id == target
    assert waiting.codes == ["NOT_LEADER"]


async def test_requests_between_two_leaders_are_referred_to_the_second(cluster):
    """The old leader knows of the election but not of its result; without the wait, clients would find no leader."""
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


async def test_a_failed_transfer_reports_the_reason_and_commands_continue(cluster):
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


async def test_a_cancelled_transfer_does_not_end_the_node(cluster):
    """Regression: failing a cancelled future raised an error, which ended the loop."""
    follower = cluster.followers[0]
    follower.transfer_leadership("a").cancel()
    follower.run_iteration()
    leader, target = cluster.leader, cluster.followers[0].config.node_id
    pending = leader.transfer_leadership(target)
    leader.run_iteration()
    pending.cancel()
    cluster.run(0.2)
    assert cluster.leader.config.node_id == target


# --- status and events ------------------------------------------------------------------------------------------------


def test_status_is_the_view_of_the_node(cluster):
    for node in cluster.nodes.values():
        status = node.status()
        assert (status.id, status.term) == (node.config.node_id, cluster.leader.raft.current_term)
        assert status.role == ("leader" if node is cluster.leader else "follower")
        assert status.leader_address == cluster.peers[cluster.leader.config.node_id]
        assert list(status.voters) == ["a", "b", "c"]


def test_the_events_of_an_election_are_logged_in_order(cluster):
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
