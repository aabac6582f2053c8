"""§5.2: a voter that is a majority by itself leads without asking anybody, and its term must be on its disk before."""

from random import Random

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import AppendEntries, RequestVote
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import HardState, Role
from tests.support.core import CONFIG, carry_out, terms_of

CONFIGURATION = Configuration((Member("a"),), learners=(Member("d"),))


def start(node_id):
    """A node with an empty disk in a cluster of one voter and one learner."""
    return Raft(node_id, CONFIGURATION, config=CONFIG, random=Random(0), now=0.0)


def lead(raft, command):
    """The node elects itself and takes a command in the same turn."""
    raft.tick(raft.next_timeout())
    assert raft.role is Role.LEADER
    raft.propose(command)


def deliver(messages, recipient):
    for message in messages:
        recipient.receive(message, 0.0)
    return carry_out(recipient).messages


def test_a_leader_by_its_own_vote_sends_nothing_before_that_vote_is_on_disk():
    leader = start("a")
    lead(leader, b"x")
    ready = leader.take_ready()
    assert ready.hard_state == HardState(1, "a")
    assert ready.early_messages == []
    assert [type(message.body) for message in ready.messages] == [RequestVote, AppendEntries]


def test_a_sole_voter_that_crashes_before_its_sync_leads_no_term_twice():
    """Log Matching (§5.3): else the learner would keep what the first life of that term had sent, and the second one,
    which leads the same term, would take other commands for the same places."""
    leader, learner = start("a"), start("d")
    lead(leader, b"x")
    deliver(leader.take_ready().early_messages, learner)  # and the leader crashes before it has synced

    leader = start("a")
    lead(leader, b"y")
    for _ in range(5):
        ready = carry_out(leader)
        for reply in deliver([*ready.early_messages, *ready.messages], learner):
            leader.receive(reply, 0.0)
        leader.tick(leader.next_timeout())
    assert leader.progress["d"].match_index == 2
    assert terms_of(learner) == terms_of(leader) == [1, 1]
    assert learner.log.entry_at(2) == leader.log.entry_at(2)
