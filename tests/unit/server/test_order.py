"""The order of write, sync, send, apply and answer in a node. Unlike kill -9, these tests reveal a missing sync."""

import pytest

from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_pkg.server.node import Node
from raft_testbed.simulation.safety import SafetyChecker, Violation
from tests.support.nodes import NodeCluster, Waiter, get, put


@pytest.fixture
def cluster(tmp_path):
    cluster = NodeCluster(tmp_path)
    yield cluster
    cluster.close()


def test_no_message_is_sent_before_its_state_is_durable(cluster):
    """Terms, votes, entries and commits, through elections, writes, restarts and repaired logs."""
    for _generation in range(3):
        cluster.run(2.0)
        leader = cluster.leader
        waiters = [
            cluster.submit(leader, *(put(f"key-{n}", request_id=n) for n in range(number))) for number in range(1, 6)
        ]
        cluster.run(0.2)
        assert [waiter.codes for waiter in waiters] == [["OK"] * number for number in range(1, 6)]
        cluster.cut = {leader.config.node_id}
        lost = cluster.submit(leader, put("lost"), put("lost too"))
        cluster.run(2.0)
        cluster.cut = set()
        cluster.run(2.0)
        assert lost.codes == ["NOT_LEADER"] * 2
        cluster.stop(leader.config.node_id)
        cluster.run(2.0)
        cluster.start(leader.config.node_id)
    cluster.run(1.0)
    checked = cluster.journal.checked
    assert checked["RequestVote"] >= 5
    assert checked["RequestVoteReply"] >= 5
    assert checked["AppendEntriesReply"] > 20
    assert checked["commit"] > 20
    assert len({node.raft.commit_index for node in cluster.nodes.values()}) == 1


def test_a_follower_replies_after_write_and_sync(cluster):
    """Figure 2: stable storage is updated before the reply."""
    cluster.run(2.0)
    follower = next(node for node in cluster.nodes.values() if not node.is_leader)
    cluster.submit(cluster.leader, put("key"))
    cluster.journal.actions.clear()
    cluster.deliver_all()
    assert cluster.journal.of(follower.config.node_id)[:3] == ["write", "sync", "AppendEntriesReply"]


def test_a_voter_replies_after_write_and_sync(cluster):
    """Figure 2: a vote that is not on disk could be granted twice."""
    node = cluster.nodes["a"]
    cluster.now = 1.0  # past the time in which leader stickiness would reject the vote
    node.deliver([Message("b", "a", 5, RequestVote(0, 0), recipient_incarnation=node.raft.incarnation)])
    node.run_iteration()
    assert cluster.journal.of("a")[:3] == ["write", "sync", "RequestVoteReply"]
    assert cluster.journal.checker.disk("a", node.raft.incarnation).hard_state == HardState(5, "b")


def test_a_leader_sends_before_its_write_and_answers_after_a_majority_has_synced(cluster):
    """Dissertation §10.2.1: AppendEntries may be sent before the leader's own sync; the client is answered last."""
    cluster.run(2.0)
    leader = cluster.leader
    cluster.journal.actions.clear()
    waiter = cluster.submit(leader, put("key"))
    assert cluster.journal.actions == [
        (leader.config.node_id, what) for what in ("AppendEntries", "AppendEntries", "write", "sync")
    ]
    assert waiter.flushed == []
    cluster.deliver_all()
    assert waiter.codes == ["OK"]
    done = cluster.journal.actions
    assert done.index((leader.config.node_id, "apply")) > min(
        position for position, (who, what) in enumerate(done) if what == "sync" and who != leader.config.node_id
    )


def test_a_leader_yields_before_its_write_so_that_messages_are_sent(cluster):
    """Dissertation §10.2.1: the transport can send only while the event loop runs other tasks."""
    cluster.run(2.0)
    leader = cluster.leader
    cluster.journal.actions.clear()
    leader.submit(Waiter(), [put("key")])
    halts = [cluster.journal.of(leader.config.node_id) for _ in leader.iterate()]
    assert halts == [["AppendEntries", "AppendEntries"]]


def test_a_follower_yields_before_it_applies_so_that_its_reply_is_sent(cluster):
    """The leader waits for the reply; no one waits for a follower to apply."""
    cluster.run(2.0)
    follower = next(node for node in cluster.nodes.values() if not node.is_leader)
    cluster.submit(cluster.leader, put("key"))
    cluster.deliver_all()
    cluster.submit(cluster.leader, put("key"))  # its AppendEntries commits the previous entry
    follower.deliver([message for message in cluster.network if message.recipient == follower.config.node_id])
    cluster.journal.actions.clear()
    halts = [cluster.journal.of(follower.config.node_id) for _ in follower.iterate()]
    assert halts == [["write", "sync", "AppendEntriesReply"]]
    assert "apply" in cluster.journal.of(follower.config.node_id)


def test_commands_of_one_iteration_share_one_write_and_one_sync(cluster):
    """Syncs dominate the cost."""
    cluster.run(2.0)
    leader = cluster.leader
    cluster.journal.actions.clear()
    cluster.submit(leader, *(put(f"key-{n}", request_id=n) for n in range(100)))
    assert cluster.journal.of(leader.config.node_id).count("sync") == 1
    assert cluster.journal.of(leader.config.node_id).count("AppendEntries") == 2


def test_reads_write_nothing(cluster):
    """ReadIndex needs no log entry."""
    cluster.run(2.0)
    cluster.journal.actions.clear()
    waiter = cluster.submit(cluster.leader, get("no such key"))
    cluster.deliver_all()
    assert waiter.codes == ["OK"]
    assert "write" not in {what for _, what in cluster.journal.actions}


def test_a_single_node_answers_after_its_own_sync(tmp_path):
    """The leader alone is a majority."""
    cluster = NodeCluster(tmp_path, voters=["a"])
    cluster.run(1.0)
    cluster.journal.actions.clear()
    waiter = cluster.submit(cluster.nodes["a"], put("key"))
    assert cluster.journal.of("a") == ["write", "sync", "apply"]
    assert waiter.codes == ["OK"]
    cluster.close()


# --- the checks can fail ----------------------------------------------------------------------------------------------


class AnswersBeforeTheSync(Node):
    """Sends replies before it syncs."""

    def _carry_out(self, ready):
        yield from ()
        if ready.addresses is not None:
            self._transport.update_peers(ready.addresses)
        self._storage.append(ready.hard_state, ready.entries)
        self._transport.send(ready.early_messages)
        self._transport.send(ready.messages)
        self._storage.sync()
        return False


class AppliesBeforeTheSync(Node):
    """Applies entries before it syncs."""

    def _carry_out(self, ready):
        yield from ()
        self._storage.append(ready.hard_state, ready.entries)
        if ready.entries:
            self.raft.synced(ready.entries[-1])
            for entry in self.raft.take_ready().committed:
                self._apply(entry)
        self._storage.sync()
        return False


class CommitsWithoutAMajority(Node):
    """Believes that all followers hold its log."""

    def _carry_out(self, ready):
        for progress in self.raft.progress.values():
            progress.match_index = self.raft.log.last_index
        return super()._carry_out(ready)


def elect_and_write(cluster):
    cluster.run(2.0)
    cluster.submit(cluster.leader, put("key"))


@pytest.mark.parametrize(
    ("broken", "voters"),
    [(AnswersBeforeTheSync, "abc"), (AppliesBeforeTheSync, "a"), (CommitsWithoutAMajority, "abc")],
)
def test_a_node_that_breaks_the_order_is_detected(tmp_path, broken, voters):
    cluster = NodeCluster(tmp_path, voters=voters)
    for node in cluster.nodes.values():
        node.__class__ = broken
    with pytest.raises(Violation):
        elect_and_write(cluster)
    cluster.close()


@pytest.mark.parametrize(
    "message",
    [
        Message("a", "b", 2, RequestVote(0, 0)),
        Message("a", "b", 1, RequestVoteReply(vote_granted=True)),
        Message("a", "b", 1, AppendEntriesReply(True, match_index=1)),
        Message("a", "b", 2, AppendEntries(0, 0, (), leader_commit=0, read_round=0)),
        Message("a", "b", 2, AppendEntriesReply(False)),
        Message("a", "b", 1, InstallSnapshotReply(1, 10, 0)),
    ],
    ids=lambda message: type(message.body).__name__,
)
def test_each_type_of_message_needs_durable_state(message):
    checker = SafetyChecker(lambda _entry: ())
    disk = checker.disk("a", 0)
    disk.append(HardState(1), [])
    disk.sync()
    vote = "a" if isinstance(message.body, RequestVote) else "b"
    disk.append(HardState(message.term, vote), [Entry(1, 1, EntryKind.NOOP, b"")])
    with pytest.raises(Violation):
        checker.message_sent(message)
    disk.sync()
    checker.message_sent(message)
