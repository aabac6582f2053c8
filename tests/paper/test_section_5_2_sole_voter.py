"""§5.2: a sole voter is a majority by itself, so it leads without messages; its vote must be durable before it does."""

from random import Random

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import AppendEntries, RequestVote
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import HardState, Role
from tests.support.core import CONFIG, carry_out, terms_of

CONFIGURATION = Configuration((Member("a"),), learners=(Member("d"),))


def start(node_id):
    """Return a node with an empty disk in a cluster of one voter and one learner."""
    return Raft(node_id, CONFIGURATION, config=CONFIG, random=Random(0), now=0.0)


def lead(raft, command):
    """Let the node elect itself and accept a command in one iteration."""
    raft.tick(raft.next_timeout())
    assert raft.role is Role.LEADER
    raft.propose(command)


def deliver(messages, recipient):
    for message in messages:
        recipient.receive(message, 0.0)
    return carry_out(recipient).messages


def test_sole_voter_sends_nothing_before_its_vote_is_durable():
    leader = start("a")
    lead(leader, b"x")
    ready = leader.take_ready()
    assert ready.hard_state == HardState(1, "a")
    assert ready.early_messages == []
    assert [type(message.body) for message in ready.messages] == [RequestVote, AppendEntries]


def test_sole_voter_does_not_lead_a_term_twice_after_crash():
    """Log Matching (§5.3): the learner would get different entries of one term from the two incarnations."""
    leader, learner = start("a"), start("d")
    lead(leader, b"x")
    deliver(leader.take_ready().early_messages, learner)  # the leader crashes before its sync

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
