"""Dissertation §3.10: leadership transfer."""

import pytest

from raft_pkg.core.errors import NotLeaderError, TransferRefusedError
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.ready import TransferAborted, TransferStarted
from raft_pkg.core.types import Role
from tests.paper.test_dissertation_9_6_pre_vote import BOTH
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, leader, raft_events, receive, replies


def settled(config=BOTH, voters="abc"):
    """A leader to whom everybody has answered."""
    raft = leader(config=config, voters=voters) if not config.pre_vote else elected(config, voters)
    acknowledge(raft, *raft.peers)
    carry_out(raft)
    return raft


def elected(config, voters):
    """A leader by way of a pre-vote."""
    raft = follower(config=config, voters=voters)
    raft.tick(raft.next_timeout())
    for peer in raft.peers:
        receive(raft, peer, PreVoteReply(1, vote_granted=True), term=0)
    for peer in raft.peers:
        receive(raft, peer, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert raft.role is Role.LEADER
    return raft


def test_a_target_that_is_up_to_date_is_told_to_time_out_at_once():
    """§3.10, step 3: TimeoutNow."""
    raft = settled()
    raft.transfer_leadership("b", 0.0)
    ready = carry_out(raft)
    assert [(message.recipient, message.body) for message in ready.messages] == [("b", TimeoutNow())]
    assert raft_events(ready, TransferStarted) == [TransferStarted(1, "b")]


def test_a_target_that_lags_is_brought_up_to_date_first():
    """§3.10, step 2: its log must be like the leader's, or it could not win."""
    raft = settled()
    raft.propose(b"x")
    carry_out(raft)
    raft.transfer_leadership("b", 0.0)
    assert replies(carry_out(raft), TimeoutNow) == []
    acknowledge(raft, "c")
    assert replies(carry_out(raft), TimeoutNow) == []
    acknowledge(raft, "b")
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]


def test_a_leader_takes_no_commands_while_it_hands_over():
    """§3.10, step 1: else the target's log never catches up."""
    raft = settled()
    raft.transfer_leadership("b", 0.0)
    with pytest.raises(NotLeaderError):
        raft.propose(b"x")


@pytest.mark.parametrize("target", ["a", "non-member"])
def test_a_transfer_to_nobody_is_refused(target):
    """§3.10: the target must be able to win."""
    raft = settled()
    with pytest.raises(TransferRefusedError, match="voter"):
        raft.transfer_leadership(target, 0.0)
    raft.propose(b"x")


def test_a_transfer_to_a_silent_node_is_refused():
    """§3.10: it would only be a pause in the service."""
    raft = settled(CONFIG)
    with pytest.raises(TransferRefusedError, match=r"b has not replied for 60\.0 s"):
        raft.transfer_leadership("b", 60.0)


def test_a_transfer_in_a_cluster_of_one_is_refused():
    """§3.10."""
    with pytest.raises(TransferRefusedError, match="other voters: none"):
        settled(voters="a").transfer_leadership("b", 0.0)


def test_only_the_leader_hands_over():
    """§3.10."""
    with pytest.raises(NotLeaderError):
        follower().transfer_leadership("b", 0.0)


def test_a_leader_goes_on_when_the_target_does_not_take_over():
    """§3.10: it gives up after an election time-out and takes commands again."""
    raft = settled(CONFIG)
    raft.transfer_leadership("b", 0.0)
    carry_out(raft)
    for _ in range(10):
        raft.tick(raft.next_timeout())
    assert raft_events(carry_out(raft), TransferAborted) == [TransferAborted(1, "b")]
    assert raft.propose(b"x").index == 2


def test_the_order_is_repeated_while_it_may_have_been_lost():
    """§3.10 on a network that loses messages."""
    raft = settled()
    raft.transfer_leadership("b", raft.next_timeout())
    carry_out(raft)
    raft.tick(raft.next_timeout())
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]


def test_who_is_told_to_time_out_stands_at_once_without_asking_before():
    """§3.10, §4.2.3, §9.6: no pre-vote, and a flag that keeps the others from protecting the leader."""
    raft = follower([1], term=1, config=BOTH)
    append(raft, "b", (1, 1))
    receive(raft, "b", TimeoutNow())
    ready = carry_out(raft)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 2)
    assert replies(ready, RequestVote) == [RequestVote(1, 1, leadership_transfer=True)] * 2


def test_only_the_leader_can_order_an_election():
    """§3.10: an order of somebody else, or of an older term, is passed over."""
    raft = follower([1], term=1, config=BOTH)
    append(raft, "b", (1, 1))
    receive(raft, "c", TimeoutNow())
    receive(raft, "b", TimeoutNow(), term=0)
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 1)
    leading = settled()
    receive(leading, "b", TimeoutNow())
    assert leading.role is Role.LEADER


def test_a_deposed_leader_forgets_the_transfer():
    """§3.10: another leader's doing is none of its own."""
    raft = settled()
    raft.transfer_leadership("b", 0.0)
    receive(raft, "c", AppendEntries(0, 0, (), 0, 0), term=7)
    assert raft.transfer_target is None


@pytest.mark.parametrize("seed", range(5))
def test_leadership_goes_to_the_target_in_the_next_term(seed):
    """§3.10: from one to the next around the cluster, each time within an election time-out, and nothing is lost."""
    cluster = Cluster("abcde", seed=seed, config=BOTH)
    cluster.run(3.0)
    for target in "abcdeabcde":
        old = cluster.leader
        term = old.current_term
        if old.node_id == target:
            continue
        cluster.propose(old.node_id, target.encode())
        cluster[old.node_id].transfer_leadership(target, cluster.now)
        cluster.carry_out(old.node_id)
        cluster.run(0.1)
        assert cluster.leader.node_id == target
        assert cluster.leader.current_term == term + 1
        assert cluster.members[target].applied[-2].data == target.encode()


def test_a_reply_of_the_target_before_it_is_up_to_date_orders_nothing():
    """§3.10, step 2: a match short of the leader's last entry is not enough."""
    raft = settled()
    raft.propose(b"x")
    raft.propose(b"y")
    carry_out(raft)
    raft.transfer_leadership("b", 0.0)
    receive(raft, "b", AppendEntriesReply(True, match_index=2))
    assert replies(carry_out(raft), TimeoutNow) == []
