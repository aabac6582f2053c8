"""Dissertation §6.4, linearizable reads without the log: ReadIndex."""

import pytest

from raft_pkg.core.errors import NotLeaderError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, RequestVoteReply
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import acknowledge, append, carry_out, follower, leader, receive, replies


def settled_leader(voters="abc"):
    """A leader that has committed in its own term, and to whom everybody has answered."""
    raft = leader(voters=voters)
    acknowledge(raft, *raft.peers)
    carry_out(raft)
    assert raft.commit_index == 1
    return raft


def rounds(ready):
    """The numbers of the rounds that the appends of an ready carry."""
    return [body.read_round for body in replies(ready, AppendEntries)]


def test_a_read_waits_for_the_answers_of_a_majority():
    """§6.4, step 3: a new round of heartbeats shows that no newer leader has superseded it."""
    raft = settled_leader("abcde")
    number = raft.read_index()
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [1, 1, 1, 1]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == []
    acknowledge(raft, "c", read_round=1)
    assert carry_out(raft).reads == [(number, 1)]


def test_a_refusal_of_entries_is_an_answer_too():
    """§6.4: what counts is that the follower still takes it for the leader of this term."""
    raft = settled_leader()
    number = raft.read_index()
    carry_out(raft)
    receive(raft, "b", AppendEntriesReply(False, rejected_index=0, read_round=1))
    assert carry_out(raft).reads == [(number, 1)]


def test_answers_to_earlier_heartbeats_do_not_count():
    """§6.4: the round must have begun after the read came, or it proves nothing about now."""
    raft = settled_leader()
    raft.tick(raft.next_timeout())
    carry_out(raft)
    raft.read_index()
    acknowledge(raft, "b", "c", read_round=0)  # answers to the heartbeat from before the read
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [1, 1]
    acknowledge(raft, "b", "c", read_round=0)
    assert carry_out(raft).reads == []


def test_a_read_that_comes_during_a_round_waits_for_the_next():
    """§6.4: the round under way may have been confirmed before a newer leader's first write; the read came after it."""
    raft = settled_leader()
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


def test_one_round_serves_all_reads_that_wait():
    """§6.4: the cost of a round is shared by any number of reads."""
    raft = settled_leader()
    numbers = [raft.read_index() for _ in range(50)]
    assert rounds(carry_out(raft)) == [1, 1]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == [(number, 1) for number in numbers]


def test_no_read_before_the_leader_has_committed_in_its_own_term():
    """§6.4, step 1: until then it does not know which entries are committed."""
    raft = leader([1, 1, 1])
    number = raft.read_index()
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
    assert carry_out(raft).reads == [(number, 4)]


def test_a_read_sees_all_that_was_committed_when_it_came():
    """§6.4, step 2: "The leader saves its current commit index in a local variable readIndex"."""
    raft = settled_leader()
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b")
    number = raft.read_index()
    ready = carry_out(raft)
    assert [entry.index for entry in ready.committed] == [2]
    acknowledge(raft, "b", read_round=1)
    assert carry_out(raft).reads == [(number, 2)]


def test_what_a_read_must_see_is_handed_out_no_later_than_the_read():
    """§6.4, step 4: "The leader waits for its state machine to advance at least as far as the readIndex"."""
    raft = settled_leader()
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b", up_to=2)
    number = raft.read_index()
    raft_output = raft.take_ready()
    assert [entry.index for entry in raft_output.committed] == [2]
    acknowledge(raft, "c", read_round=1)
    assert raft.take_ready().reads == [(number, 2)]


def test_a_lost_round_is_carried_by_the_next_heartbeat():
    """§6.4 on a network that loses messages: a read is late, not lost."""
    raft = settled_leader()
    number = raft.read_index()
    carry_out(raft)  # lost
    raft.tick(raft.next_timeout())
    assert rounds(carry_out(raft)) == [1, 1]
    acknowledge(raft, "c", read_round=1)
    assert carry_out(raft).reads == [(number, 1)]


def test_appends_with_entries_carry_the_round_too():
    """§6.4: no heartbeat of its own where an append goes anyway."""
    raft = settled_leader()
    raft.read_index()
    raft.propose(b"x")
    bodies = replies(carry_out(raft), AppendEntries)
    assert [(body.read_round, len(body.entries)) for body in bodies] == [(1, 1), (1, 1)]


def test_the_only_server_of_a_cluster_serves_reads_at_once():
    """§6.4: it is its own majority, once it has committed in its term."""
    raft = follower(voters="a")
    raft.tick(raft.next_timeout())
    number = raft.read_index()
    assert carry_out(raft).reads == [(number, 1)]


def test_a_deposed_leader_fails_its_reads():
    """§6.4: those that wait and those of the round under way; the client asks the new leader."""
    raft = settled_leader()
    under_way = raft.read_index()
    carry_out(raft)
    waiting = raft.read_index()
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=9)
    ready = carry_out(raft)
    assert ready.reads == []
    assert sorted(ready.failed_reads) == [under_way, waiting]
    with pytest.raises(NotLeaderError):
        raft.read_index()


def test_answers_that_come_after_the_leader_was_deposed_serve_no_read():
    """§6.4: they are of an older term."""
    raft = settled_leader()
    raft.read_index()
    carry_out(raft)
    receive(raft, "b", AppendEntries(0, 0, (), 0, 0), term=9)
    carry_out(raft)
    receive(raft, "c", AppendEntriesReply(True, match_index=1, read_round=1), term=1)
    assert carry_out(raft).reads == []


def test_a_cut_off_leader_never_serves_a_read():
    """§6.4: others may have a newer leader by then, and newer writes."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.deliver_all()
    cluster.isolate("a")
    number = cluster["a"].read_index()
    cluster.carry_out("a")
    cluster.elect("b")
    cluster.propose("b", b"newer")
    cluster.run(2.0)
    assert cluster["b"].commit_index == 3
    assert cluster["a"].role is Role.LEADER  # check-quorum is off here: nothing but the rounds protects the read
    assert number not in cluster.members["a"].served_reads
    cluster.heal()
    cluster.run(0.2)
    assert number not in cluster.members["a"].served_reads
    assert number in cluster.members["a"].failed_reads


def test_a_leader_reelected_after_a_restart_of_others_serves_fresh_reads():
    """§6.4: rounds of an earlier term serve nothing in a later one."""
    raft = settled_leader()
    raft.read_index()
    carry_out(raft)
    append(raft, "b", (1, 1), term=2)
    raft.tick(raft.next_timeout())
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER
    number = raft.read_index()
    acknowledge(raft, "b", "c")
    ready = carry_out(raft)
    assert ready.reads == []
    assert rounds(ready) == [2, 2]
    acknowledge(raft, "b", read_round=2)
    assert carry_out(raft).reads == [(number, 2)]
