"""Group commit: commands wait for others only while entries are being replicated or more commands are expected."""

import asyncio

import pytest

from raft_pkg.core.types import EntryKind
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.batcher import BATCH_BYTES, BATCH_SECONDS_MAX
from tests.support.clocks import run_in_virtual_time
from tests.support.nodes import NodeCluster, Waiter, put


@pytest.fixture
def cluster(tmp_path):
    cluster = NodeCluster(tmp_path)
    cluster.run(2.01)  # right after a heartbeat
    yield cluster
    cluster.close()


def entries_of(node):
    """Return the number of commands in each entry of the log."""
    entries = node.raft.log.slice(node.raft.log.first_index, node.raft.log.last_index + 1)
    return [
        sum(len(batch.commands) for batch in pb.CommandEntry.FromString(e.data).batches)
        for e in entries
        if e.kind is EntryKind.COMMANDS
    ]


def test_commands_that_arrive_during_replication_share_the_next_entry(cluster):
    leader = cluster.leader
    waiters = [cluster.submit(leader, put(f"key-{number}")) for number in range(5)]
    assert entries_of(leader) == [1]
    cluster.deliver_all()
    assert [waiter.codes for waiter in waiters] == [["OK"], [], [], [], []]
    cluster.run(BATCH_SECONDS_MAX)  # the client that was answered may send its next command
    assert entries_of(leader) == [1, 4]
    assert [waiter.codes for waiter in waiters] == [["OK"]] * 5


def test_a_command_is_proposed_at_once_when_nothing_is_being_replicated(cluster):
    leader = cluster.leader
    for number in range(3):
        cluster.submit(leader, put(f"key-{number}"))
        assert len(entries_of(leader)) == number + 1
        cluster.deliver_all()


def test_commands_do_not_wait_longer_than_the_limit_without_a_majority(cluster):
    """The oldest command determines the due time, which is the node's next time-out."""
    leader = cluster.leader
    cluster.cut = {follower.config.node_id for follower in cluster.followers}
    cluster.submit(leader, put("first"))
    cluster.submit(leader, put("second"))
    due = leader.next_timeout()
    assert due == cluster.now + BATCH_SECONDS_MAX
    cluster.now = due - BATCH_SECONDS_MAX / 2
    cluster.submit(leader, put("third"))
    assert entries_of(leader) == [1]
    assert leader.next_timeout() == due
    cluster.now = due
    leader.run_iteration()
    assert entries_of(leader) == [1, 2]
    assert leader.next_timeout() == leader.raft.next_timeout()


def test_new_commands_of_clients_that_were_answered_together_share_an_entry(cluster):
    """Each client sends its next command in a call of its own."""
    leader = cluster.leader
    cluster.submit(leader, *(put(f"key-{number}", request_id=number) for number in range(3)))
    cluster.deliver_all()
    for number in range(2):
        cluster.submit(leader, put(f"key-{number}"))
    assert entries_of(leader) == [3]
    assert leader.next_timeout() == cluster.now + BATCH_SECONDS_MAX
    cluster.submit(leader, put("key-2"))
    assert entries_of(leader) == [3, 3]


def test_queued_and_expected_commands_share_an_entry(cluster):
    leader = cluster.leader
    cluster.submit(leader, put("first"), put("second"))
    cluster.submit(leader, put("third"))
    cluster.deliver_all()
    cluster.submit(leader, put("first"))
    assert entries_of(leader) == [2]
    cluster.submit(leader, put("second"))
    assert entries_of(leader) == [2, 3]


def test_expected_commands_that_do_not_arrive_delay_others_only_briefly(cluster):
    """The wait is measured from the outcomes, not from the first queued command."""
    leader = cluster.leader
    cluster.submit(leader, *(put(f"key-{number}", request_id=number) for number in range(3)))
    cluster.deliver_all()
    cluster.run(BATCH_SECONDS_MAX / 2)
    cluster.submit(leader, put("key"))
    assert entries_of(leader) == [3]
    cluster.run(BATCH_SECONDS_MAX / 2)
    assert entries_of(leader) == [3, 1]
    cluster.run(BATCH_SECONDS_MAX)
    cluster.submit(leader, put("key"))
    assert entries_of(leader) == [3, 1, 1]


def test_a_batch_that_reaches_the_size_limit_is_proposed_at_once(cluster):
    leader = cluster.leader
    cluster.submit(leader, put("first"))
    cluster.submit(leader, put("small"))
    cluster.submit(leader, put("large", bytes(BATCH_BYTES)))
    assert entries_of(leader) == [1, 2]


def test_a_follower_rejects_commands_at_once(cluster):
    """This also holds while its log has entries that it does not know to be committed."""
    follower = cluster.followers[0]
    cluster.submit(cluster.leader, put("key"))
    cluster.deliver_round()
    assert follower.raft.log.last_index > follower.raft.commit_index
    assert cluster.submit(follower, put("key")).codes == ["NOT_LEADER"]


def test_the_event_loop_wakes_up_when_a_batch_is_due(cluster, monkeypatch):
    """Nothing else wakes it: no follower replies, and commands that join a batch do not wake it either."""
    leader = cluster.leader
    cluster.cut = {follower.config.node_id for follower in cluster.followers}
    monkeypatch.setattr(leader.raft, "next_timeout", lambda: float("inf"))
    monkeypatch.setattr(leader.raft, "tick", lambda _now: None)

    async def submit_four():
        monkeypatch.setattr(leader, "_clock", asyncio.get_running_loop().time)
        running = asyncio.create_task(leader.run())
        for number in range(4):
            leader.submit(Waiter(), [put(f"key-{number}")])
            await asyncio.sleep(BATCH_SECONDS_MAX / 10)
        assert entries_of(leader) == [1]
        await asyncio.sleep(BATCH_SECONDS_MAX)
        assert entries_of(leader) == [1, 3]
        leader.stop("the test is over")
        await running

    run_in_virtual_time(submit_four())
