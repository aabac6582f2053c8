"""Dissertation §6.4, linearizable reads without the log: ReadIndex."""

import pytest

from raft_pkg.core.errors import NotLeaderError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, RequestVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import acknowledge, append, carry_out, follower, leader, receive, replies


def ready_leader(voters="abc"):
    """Return a leader that has committed in its own term, and to which all followers have replied."""
    raft = leader(voters=voters)
    acknowledge(raft, *raft.peers)
    carry_out(raft)
    assert raft.commit_index == 1
    return raft


def rounds(ready):
    """Return the rounds of the appends that a `Ready` sends."""
    return [body.read_round for body in replies(ready, AppendEntries)]


def test_read_waits_for_acknowledgements_of_a_majority():
    """§6.4, step 3: a new round of heartbeats shows that no newer leader has superseded it."""
    raft = ready_leader("abcde")
    request_id = raft.read_index()
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [1, 1, 1, 1]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == []
    acknowledge(raft, "c", read_round=1)
    assert carry_out(raft).reads == [(request_id, 1)]


def test_rejected_append_acknowledges_the_round():
    """§6.4: the follower still accepts it as the leader of this term."""
    raft = ready_leader()
    request_id = raft.read_index()
    carry_out(raft)
    receive(raft, "b", AppendEntriesReply(False, rejected_index=0, read_round=1))
    assert carry_out(raft).reads == [(request_id, 1)]


def test_replies_to_earlier_heartbeats_do_not_count():
    """§6.4: the round must begin after the read."""
    raft = ready_leader()
    raft.tick(raft.next_timeout())
    carry_out(raft)
    raft.read_index()
    acknowledge(raft, "b", "c", read_round=0)  # replies to the heartbeat before the read
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [1, 1]
    acknowledge(raft, "b", "c", read_round=0)
    assert carry_out(raft).reads == []


def test_read_during_a_round_waits_for_the_next():
    """§6.4: the round in progress may have been acknowledged before the first write of a newer leader, and the read
    came after it."""
    raft = ready_leader()
    first = raft.read_index()
    carry_out(raft)
    second = raft.read_index()
    assert rounds(carry_out(raft)) == []
    acknowledge(raft, "b", read_round=1)
    ready = carry_out(raft)
    assert ready.reads == [(first, 1)]
    assert rounds(ready) == [2, 2]
    acknowledge(raft, "c", read_round=2)
    assert carry_out(raft).reads == [(second, 1)]


def test_one_round_serves_all_waiting_reads():
    """§6.4: the cost of a round is shared by any number of reads."""
    raft = ready_leader()
    request_ids = [raft.read_index() for _ in range(50)]
    assert rounds(carry_out(raft)) == [1, 1]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == [(request_id, 1) for request_id in request_ids]


def test_no_read_before_leader_commits_in_its_own_term():
    """§6.4, step 1: until then it does not know which entries are committed."""
    raft = leader([1, 1, 1])
    request_id = raft.read_index()
    assert rounds(carry_out(raft)) == []
    acknowledge(raft, "b", up_to=3)
    ready = carry_out(raft)
    assert ready.reads == []
    assert set(rounds(ready)) <= {0}
    acknowledge(raft, "b", up_to=4)
    ready = carry_out(raft)
    assert rounds(ready) == [1, 1]
    assert [entry.index for entry in ready.committed] == [1, 2, 3, 4]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == [(request_id, 4)]


def test_read_index_is_the_commit_index_of_its_round():
    """§6.4, step 2: "The leader saves its current commit index in a local variable readIndex"."""
    raft = ready_leader()
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b")
    request_id = raft.read_index()
    ready = carry_out(raft)
    assert [entry.index for entry in ready.committed] == [2]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == [(request_id, 2)]


def test_entries_up_to_the_read_index_are_handed_out_with_the_read():
    """§6.4, step 4: "The leader waits for its state machine to advance at least as far as the readIndex"."""
    raft = ready_leader()
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b", up_to=2)
    request_id = raft.read_index()
    raft_output = raft.take_ready()
    assert [entry.index for entry in raft_output.committed] == [2]
    acknowledge(raft, "c", read_round=1)
    assert raft.take_ready().reads == [(request_id, 2)]


def test_next_heartbeat_repeats_a_lost_round():
    """§6.4 on a network that loses messages: the read is delayed, not lost."""
    raft = ready_leader()
    request_id = raft.read_index()
    carry_out(raft)  # lost
    raft.tick(raft.next_timeout())
    assert rounds(carry_out(raft)) == [1, 1]
    acknowledge(raft, "c", read_round=1)
    assert carry_out(raft).reads == [(request_id, 1)]


def test_appends_with_entries_carry_the_round():
    """§6.4: no separate heartbeat is sent."""
    raft = ready_leader()
    raft.read_index()
    raft.propose(b"x")
    bodies = replies(carry_out(raft), AppendEntries)
    assert [(body.read_round, len(body.entries)) for body in bodies] == [(1, 1), (1, 1)]


def test_sole_server_serves_reads_at_once():
    """§6.4: it is its own majority, once it has committed in its term."""
    raft = follower(voters="a")
    raft.tick(raft.next_timeout())
    request_id = raft.read_index()
    assert carry_out(raft).reads == [(request_id, 1)]


def test_deposed_leader_fails_its_reads():
    """§6.4: the waiting ones and those of the round in progress; the client retries on the new leader."""
    raft = ready_leader()
    under_way = raft.read_index()
    carry_out(raft)
    waiting = raft.read_index()
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=9)
    ready = carry_out(raft)
    assert ready.reads == []
    assert sorted(ready.failed_reads) == [under_way, waiting]
    with pytest.raises(NotLeaderError):
        raft.read_index()


def test_late_replies_to_deposed_leader_serve_no_read():
    """§6.4: they are of an older term."""
    raft = ready_leader()
    raft.read_index()
    carry_out(raft)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=9)
    carry_out(raft)
    receive(raft, "c", AppendEntriesReply(True, match_index=1, read_round=1), term=1)
    assert carry_out(raft).reads == []


def test_partitioned_leader_never_serves_a_read():
    """§6.4: a newer leader may have committed newer writes."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.deliver_all()
    cluster.isolate("a")
    request_id = cluster["a"].read_index()
    cluster.carry_out("a")
    cluster.elect("b")
    cluster.propose("b", b"newer")
    cluster.run(2.0)
    assert cluster["b"].commit_index == 3
    assert cluster["a"].role is Role.LEADER  # check-quorum is off: only the rounds protect the read
    assert request_id not in cluster.members["a"].served_reads
    cluster.heal()
    cluster.run(0.2)
    assert request_id not in cluster.members["a"].served_reads
    assert request_id in cluster.members["a"].failed_reads


def test_reelected_leader_serves_fresh_reads():
    """§6.4: rounds of an earlier term serve no reads in a later one."""
    raft = ready_leader()
    raft.read_index()
    carry_out(raft)
    append(raft, "b", (1, 1), term=2)
    raft.tick(raft.next_timeout())
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER
    request_id = raft.read_index()
    acknowledge(raft, "b", "c")
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [2, 2]
    acknowledge(raft, "b", read_round=2)
    assert carry_out(raft).reads == [(request_id, 2)]
