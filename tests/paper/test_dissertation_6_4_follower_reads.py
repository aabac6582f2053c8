"""Dissertation §6.4: reads on followers, which ask the leader for the read index."""

import pytest

from raft_pkg.core.errors import NotLeaderError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, Message, ReadIndex, ReadIndexReply
from raft_pkg.core.types import Role
from tests.support.changing import ChangingCluster
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, log_of, receive, replies
from tests.support.members import configuration, lead

ABC = configuration("abc")


def following():
    """Return a follower of b with a committed entry."""
    raft = follower([1], term=1)
    append(raft, "b", (1, 1), commit=1)
    return raft


def request_read(raft):
    """Request a read on a follower. Return its request id, and the ReadIndex request."""
    request_id = raft.read_index(any_node=True)
    (request,) = replies(carry_out(raft), ReadIndex)
    return request_id, request


# --- the follower's side ----------------------------------------------------------------------------------------------


def test_follower_sends_read_index_request():
    """§6.4: the leader does steps 1 to 3, and replies with its readIndex."""
    raft = following()
    raft.read_index(any_node=True)
    (message,) = carry_out(raft).early_messages
    assert (message.recipient, type(message.body)) == ("b", ReadIndex)


def test_follower_serves_read_once_the_index_is_committed():
    """§6.4: in steps 4 and 5, the follower waits for its own state machine."""
    raft = following()
    request_id, request = request_read(raft)
    receive(raft, "b", ReadIndexReply(request.request_id, 3))
    assert carry_out(raft).reads == []
    receive(raft, "b", AppendEntries(1, 1, tuple(log_of(1, 1, 1, 1)[1:]), 2, 0))
    assert carry_out(raft).reads == []
    receive(raft, "b", AppendEntries(4, 1, (), 4, 0))
    ready = carry_out(raft)
    assert ready.reads == [(request_id, 3)]
    assert [entry.index for entry in ready.committed] == [3, 4]


def test_one_request_serves_all_earlier_reads():
    """§6.4: like a round on the leader."""
    raft = following()
    request_ids = [raft.read_index(any_node=True) for _ in range(5)]
    (request,) = replies(carry_out(raft), ReadIndex)
    receive(raft, "b", ReadIndexReply(request.request_id, 1))
    assert carry_out(raft).reads == [(request_id, 1) for request_id in request_ids]


def test_read_after_a_request_needs_another_request():
    """§6.4: the reply may be older than the read."""
    raft = following()
    first, request = request_read(raft)
    second, later = request_read(raft)
    receive(raft, "b", ReadIndexReply(request.request_id, 1))
    assert carry_out(raft).reads == [(first, 1)]
    receive(raft, "b", ReadIndexReply(later.request_id, 1))
    assert carry_out(raft).reads == [(second, 1)]


def test_duplicate_reply_is_ignored():
    """§6.4 on a network that repeats messages."""
    raft = following()
    request_id, request = request_read(raft)
    for _ in range(2):
        receive(raft, "b", ReadIndexReply(request.request_id, 1))
    assert carry_out(raft).reads == [(request_id, 1)]


def test_index_0_rejects_the_request():
    """§6.4: the node does not lead; the client may retry the read."""
    raft = following()
    request_id, request = request_read(raft)
    receive(raft, "b", ReadIndexReply(request.request_id, 0))
    assert carry_out(raft).failed_reads == [request_id]


def test_reply_of_another_node_is_ignored():
    """§6.4: only the leader knows the read index."""
    raft = following()
    request_id, request = request_read(raft)
    receive(raft, "c", ReadIndexReply(request.request_id, 1))
    assert carry_out(raft).reads == []
    receive(raft, "b", ReadIndexReply(request.request_id, 1))
    assert carry_out(raft).reads == [(request_id, 1)]


def test_lost_request_expires():
    """§6.4 on a network that loses messages: after an election time-out, when the leader's messages arrive again."""
    raft = following()
    request_id, _ = request_read(raft)
    append(raft, "b", (1, 1), now=CONFIG.election_timeout_max)
    receive(raft, "b", AppendEntries(1, 1, (), 1, 0), now=CONFIG.election_timeout_max + 0.001)
    assert carry_out(raft).failed_reads == [request_id]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(lambda raft: receive(raft, "c", AppendEntries(1, 1, (), 1, 0), term=2), id="another leader"),
        pytest.param(lambda raft: raft.tick(raft.next_timeout()), id="no leader"),
        pytest.param(lambda raft: receive(raft, "c", ReadIndex(1), term=2), id="a newer term"),
    ],
)
def test_leader_change_fails_reads(event):
    """§6.4: those that were requested, and those that wait; the new leader does not know the request."""
    raft = following()
    asked, _ = request_read(raft)
    waiting = raft.read_index(any_node=True)
    event(raft)
    assert sorted(carry_out(raft).failed_reads) == [asked, waiting]


def test_read_index_stays_valid_after_a_leader_change():
    """§6.4: the index was committed, regardless of the current leader."""
    raft = following()
    request_id, request = request_read(raft)
    receive(raft, "b", ReadIndexReply(request.request_id, 2))
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(1, 1)[1:]), 2, 0), term=2)
    ready = carry_out(raft)
    assert (ready.reads, ready.failed_reads) == ([(request_id, 2)], [])


def test_follower_without_leader_fails_all_reads():
    """§6.4: the entries up to the read index may never arrive, as on a removed or partitioned server."""
    raft = following()
    request_id, request = request_read(raft)
    receive(raft, "b", ReadIndexReply(request.request_id, 3))
    carry_out(raft)
    raft.tick(raft.next_timeout())
    assert carry_out(raft).failed_reads == [request_id]
    append(raft, "b", (1, 1), log_of(1, 1, 1, 1)[1:], commit=4, term=raft.current_term)
    assert carry_out(raft).reads == []


def test_read_without_known_leader_is_refused():
    """§6.4."""
    raft = follower([1], term=1)
    with pytest.raises(NotLeaderError, match="unknown"):
        raft.read_index(any_node=True)


def test_follower_refuses_reads_by_default():
    """§6.4: the caller must allow forwarding."""
    with pytest.raises(NotLeaderError, match="the leader is b"):
        following().read_index()


def test_reply_to_previous_incarnation_is_ignored():
    """§6.4 across a restart in the same term: the index of the first request may be older than the second read, so
    request ids must not start again."""
    cluster = ChangingCluster("abc")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    restarted = next(node_id for node_id in "abc" if node_id != leader)
    cluster[restarted].read_index(any_node=True)
    cluster.carry_out(restarted)
    cluster.deliver_all(lambda message: not isinstance(message.body, ReadIndexReply))
    late = [message for message in cluster.network if isinstance(message.body, ReadIndexReply)]
    assert len(late) == 1
    cluster.network.clear()
    cluster.crash(restarted)
    cluster.start(restarted)
    cluster.run(CONFIG.heartbeat_interval)
    cluster.isolate(restarted)
    newer = cluster.propose(leader)
    cluster.run(0.1)
    request_id = cluster[restarted].read_index(any_node=True)
    cluster.carry_out(restarted)
    cluster.network += late
    cluster.deliver_all()
    assert cluster[leader].commit_index == newer.index
    assert cluster.members[restarted].served_reads.get(request_id, newer.index) == newer.index


# --- the leader's side ------------------------------------------------------------------------------------------------


def forward_read(raft, sender, request_id, now=0.0):
    """Deliver a follower's ReadIndex request to a leader."""
    receive(raft, sender, ReadIndex(request_id), now=now)


def test_leader_replies_when_a_majority_has_acknowledged_the_round():
    """§6.4: steps 1 to 3, as for its own reads."""
    raft = lead(ABC)
    forward_read(raft, "b", 71)
    ready = carry_out(raft)
    assert replies(ready, ReadIndexReply) == []
    assert [body.read_round for body in replies(ready, AppendEntries)] == [1, 1]
    acknowledge(raft, "c", read_round=1)
    (message,) = carry_out(raft).messages
    assert (message.recipient, message.body) == ("b", ReadIndexReply(71, 1))


def test_one_round_serves_requests_of_all_followers():
    """§6.4: and the leader's own reads."""
    raft = lead(ABC)
    forward_read(raft, "b", 71)
    forward_read(raft, "c", 71)
    own = raft.read_index()
    assert [body.read_round for body in replies(carry_out(raft), AppendEntries)] == [1, 1]
    acknowledge(raft, "c", read_round=1)
    ready = carry_out(raft)
    assert [(message.recipient, message.body.request_id) for message in ready.messages] == [("b", 71), ("c", 71)]
    assert ready.reads == [(own, 1)]


def test_no_reply_before_leader_commits_in_its_own_term():
    """§6.4, step 1."""
    raft = lead(ABC, terms=[1, 1], committed=False)
    forward_read(raft, "b", 71)
    acknowledge(raft, "b", "c", up_to=2)
    assert replies(carry_out(raft), ReadIndexReply) == []
    acknowledge(raft, "b")
    carry_out(raft)
    acknowledge(raft, "b", read_round=1)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 3)]


def test_non_leader_rejects_request():
    """§6.4: index 0."""
    raft = following()
    forward_read(raft, "c", 71)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 0)]


def test_request_of_older_term_is_rejected():
    """§5.1: the sender learns the newer term."""
    raft = lead(ABC)
    receive(raft, "b", ReadIndex(71), term=0)
    (message,) = carry_out(raft).messages
    assert (message.term, message.body) == (1, ReadIndexReply(71, 0))


def test_deposed_leader_fails_reads_and_rejects_requests():
    """§6.4: its own reads, and those of followers."""
    raft = lead(ABC)
    forward_read(raft, "b", 71)
    own = raft.read_index()
    receive(raft, "c", AppendEntriesReply(False), term=9)
    ready = carry_out(raft)
    assert replies(ready, ReadIndexReply) == [ReadIndexReply(71, 0)]
    assert ready.failed_reads == [own]


def test_learner_may_send_requests():
    """§6.4, §4.2.1: it has the log, and needs no vote."""
    raft = lead(configuration("abc", learners="d"))
    forward_read(raft, "d", 71)
    carry_out(raft)
    acknowledge(raft, "b", read_round=1)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 1)]


def test_new_leader_ignores_replies_to_its_requests():
    """§6.4."""
    raft = lead(ABC)
    raft.receive(Message("b", "a", 1, ReadIndexReply(71, 9)), 0.0)
    assert carry_out(raft).reads == []


# --- a whole cluster --------------------------------------------------------------------------------------------------


def test_reads_on_all_servers_see_acknowledged_writes():
    """§6.4: a write acknowledged by any server is visible on all."""
    cluster = ChangingCluster("abcde")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    written = cluster.propose(leader)
    cluster.run(0.1)
    for node_id in "abcde":
        request_id = cluster[node_id].read_index(any_node=True)
        cluster.carry_out(node_id)
        cluster.run(0.1)
        assert cluster.members[node_id].served_reads[request_id] >= written.index


def test_partitioned_leader_does_not_reply_to_follower():
    """§6.4: b and its leader are partitioned; the others have a newer leader."""
    cluster = ChangingCluster("abcde")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    companion, *others = (node_id for node_id in "abcde" if node_id != leader)
    cluster.isolate(leader, companion)
    request_id = cluster[companion].read_index(any_node=True)
    cluster.carry_out(companion)
    cluster.deliver_all()
    cluster.elect(others[0])
    cluster.deliver_all()
    cluster.propose(others[0], b"newer")
    cluster.run(0.2)
    assert cluster[leader].role is Role.LEADER
    assert request_id not in cluster.members[companion].served_reads
    cluster.heal()
    cluster.run(0.5)
    assert request_id not in cluster.members[companion].served_reads
    assert request_id in cluster.members[companion].failed_reads
