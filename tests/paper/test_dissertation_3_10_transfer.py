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


def ready_leader(config=BOTH, voters="abc"):
    """Return a leader to which all followers have replied."""
    raft = leader(config=config, voters=voters) if not config.pre_vote else elected_by_pre_vote(config, voters)
    acknowledge(raft, *raft.peers)
    carry_out(raft)
    return raft


def elected_by_pre_vote(config, voters):
    """Return a leader that was elected with a pre-vote."""
    raft = follower(config=config, voters=voters)
    raft.tick(raft.next_timeout())
    for peer in raft.peers:
        receive(raft, peer, PreVoteReply(1, vote_granted=True), term=0)
    for peer in raft.peers:
        receive(raft, peer, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert raft.role is Role.LEADER
    return raft


def test_up_to_date_target_gets_timeout_now_at_once():
    """§3.10, step 3: TimeoutNow."""
    raft = ready_leader()
    raft.transfer_leadership("b", 0.0)
    ready = carry_out(raft)
    assert [(message.recipient, message.body) for message in ready.messages] == [("b", TimeoutNow())]
    assert raft_events(ready, TransferStarted) == [TransferStarted(1, "b")]


def test_target_is_brought_up_to_date_first():
    """§3.10, step 2: without the leader's log it could not win."""
    raft = ready_leader()
    raft.propose(b"x")
    carry_out(raft)
    raft.transfer_leadership("b", 0.0)
    assert replies(carry_out(raft), TimeoutNow) == []
    acknowledge(raft, "c")
    assert replies(carry_out(raft), TimeoutNow) == []
    acknowledge(raft, "b")
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]


def test_leader_accepts_no_commands_during_a_transfer():
    """§3.10, step 1: otherwise the target's log might never catch up."""
    raft = ready_leader()
    raft.transfer_leadership("b", 0.0)
    with pytest.raises(NotLeaderError):
        raft.propose(b"x")


@pytest.mark.parametrize("target", ["a", "non-member"])
def test_transfer_to_non_voter_is_refused(target):
    """§3.10: the target must be able to win."""
    raft = ready_leader()
    with pytest.raises(TransferRefusedError, match="voter"):
        raft.transfer_leadership(target, 0.0)
    raft.propose(b"x")


def test_transfer_to_unresponsive_node_is_refused():
    """§3.10: it would only interrupt the service."""
    raft = ready_leader(CONFIG)
    with pytest.raises(TransferRefusedError, match=r"b has not replied for 60\.0 s"):
        raft.transfer_leadership("b", 60.0)


def test_transfer_in_cluster_of_one_is_refused():
    """§3.10."""
    with pytest.raises(TransferRefusedError, match="other voters: none"):
        ready_leader(voters="a").transfer_leadership("b", 0.0)


def test_only_the_leader_transfers_leadership():
    """§3.10."""
    with pytest.raises(NotLeaderError):
        follower().transfer_leadership("b", 0.0)


def test_transfer_is_aborted_after_an_election_timeout():
    """§3.10: the leader then accepts commands again."""
    raft = ready_leader(CONFIG)
    raft.transfer_leadership("b", 0.0)
    carry_out(raft)
    for _ in range(10):
        raft.tick(raft.next_timeout())
    assert raft_events(carry_out(raft), TransferAborted) == [TransferAborted(1, "b")]
    assert raft.propose(b"x").index == 2


def test_timeout_now_is_repeated_with_heartbeats():
    """§3.10 on a network that loses messages."""
    raft = ready_leader()
    raft.transfer_leadership("b", raft.next_timeout())
    carry_out(raft)
    raft.tick(raft.next_timeout())
    assert replies(carry_out(raft), TimeoutNow) == [TimeoutNow()]


def test_target_campaigns_at_once_without_pre_vote():
    """§3.10, §4.2.3, §9.6: its requests have a flag, so that voters do not reject them because of the leader."""
    raft = follower([1], term=1, config=BOTH)
    append(raft, "b", (1, 1))
    receive(raft, "b", TimeoutNow())
    ready = carry_out(raft)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 2)
    assert replies(ready, RequestVote) == [RequestVote(1, 1, leadership_transfer=True)] * 2


def test_only_the_leader_can_order_an_election():
    """§3.10: TimeoutNow of another node, or of an older term, is ignored."""
    raft = follower([1], term=1, config=BOTH)
    append(raft, "b", (1, 1))
    receive(raft, "c", TimeoutNow())
    receive(raft, "b", TimeoutNow(), term=0)
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 1)
    leading = ready_leader()
    receive(leading, "b", TimeoutNow())
    assert leading.role is Role.LEADER


def test_deposed_leader_forgets_the_transfer():
    """§3.10: the next leader does not know of it."""
    raft = ready_leader()
    raft.transfer_leadership("b", 0.0)
    receive(raft, "c", AppendEntries(0, 0, (), 0, 0), term=7)
    assert raft.transfer_target is None


@pytest.mark.parametrize("seed", range(5))
def test_target_leads_the_next_term(seed):
    """§3.10: around the whole cluster, each time within an election time-out, and no entry is lost."""
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


def test_target_that_is_not_up_to_date_gets_no_timeout_now():
    """§3.10, step 2: its matchIndex must be the leader's last index."""
    raft = ready_leader()
    raft.propose(b"x")
    raft.propose(b"y")
    carry_out(raft)
    raft.transfer_leadership("b", 0.0)
    receive(raft, "b", AppendEntriesReply(True, match_index=2))
    assert replies(carry_out(raft), TimeoutNow) == []
