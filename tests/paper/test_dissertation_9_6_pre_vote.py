"""Dissertation §9.6, §4.2.3, §6.2: pre-vote, leader stickiness, and check-quorum."""

from dataclasses import replace

import pytest

from raft_pkg.core.messages import AppendEntriesReply, PreVote, PreVoteReply, RequestVote, RequestVoteReply
from raft_pkg.core.ready import BecameFollower, ElectionStarted, PreVoteStarted
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, leader, raft_events, receive, replies

PRE_VOTE = replace(CONFIG, pre_vote=True)
CHECK_QUORUM = replace(CONFIG, check_quorum=True)
BOTH = replace(CONFIG, pre_vote=True, check_quorum=True)


def pre_candidate(terms=(), **options):
    """Return a node that has requested pre-votes."""
    raft = follower(terms, config=PRE_VOTE, **options)
    raft.tick(raft.next_timeout())
    carry_out(raft)
    assert raft.role is Role.PRE_CANDIDATE
    return raft


# --- pre-vote (§9.6) --------------------------------------------------------------------------------------------------


def test_pre_candidate_requests_pre_votes_and_keeps_term_and_vote():
    """§9.6: a candidate increments its term only if it learns that a majority would elect it."""
    raft = follower([1, 2], term=3, voted_for="b", config=PRE_VOTE)
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert ready.hard_state is None
    assert replies(ready, PreVote) == [PreVote(next_term=4, last_log_index=2, last_log_term=2)] * 2
    assert raft_events(ready, PreVoteStarted) == [PreVoteStarted(3, votes_needed=2)]
    assert (raft.current_term, raft.voted_for) == (3, "b")


def test_pre_candidate_with_majority_starts_election():
    """§9.6."""
    raft = pre_candidate(voters="abcde")
    receive(raft, "b", PreVoteReply(1, vote_granted=True), term=0)
    assert raft.role is Role.PRE_CANDIDATE
    receive(raft, "c", PreVoteReply(1, vote_granted=True), term=0)
    ready = carry_out(raft)
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 1)
    assert len(replies(ready, RequestVote)) == 4
    assert raft_events(ready, ElectionStarted) == [ElectionStarted(1, 3)]


def test_refused_pre_votes_start_no_election():
    """§9.6."""
    raft = pre_candidate(voters="abcde")
    for peer in "bcde":
        receive(raft, peer, PreVoteReply(1, vote_granted=False), term=0)
    assert (raft.role, raft.current_term) == (Role.PRE_CANDIDATE, 0)
    raft.tick(raft.next_timeout())
    assert len(replies(carry_out(raft), PreVote)) == 4


def test_pre_vote_for_another_term_does_not_count():
    """§9.6: a late reply belongs to another pre-vote."""
    raft = pre_candidate(term=4)
    receive(raft, "b", PreVoteReply(4, vote_granted=True), term=3)
    assert raft.role is Role.PRE_CANDIDATE
    receive(raft, "b", PreVoteReply(5, vote_granted=True), term=3)
    assert raft.role is Role.CANDIDATE


def test_pre_vote_after_the_election_started_does_not_count():
    """§9.6: a pre-vote is not a vote."""
    raft = pre_candidate(voters="abcde")
    receive(raft, "b", PreVoteReply(1, vote_granted=True), term=0)
    receive(raft, "c", PreVoteReply(1, vote_granted=True), term=0)
    receive(raft, "d", PreVoteReply(1, vote_granted=True), term=0)
    receive(raft, "e", PreVoteReply(2, vote_granted=True), term=0)
    assert raft.role is Role.CANDIDATE


def test_refused_pre_vote_of_newer_term_updates_the_term():
    """§9.6, §5.1: a node that lags behind learns the newer term."""
    raft = pre_candidate(term=1)
    receive(raft, "b", PreVoteReply(2, vote_granted=False), term=6)
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 6)


@pytest.mark.parametrize(
    ("request_", "granted"),
    [
        pytest.param(PreVote(4, 2, 2), True, id="up to date"),
        pytest.param(PreVote(9, 2, 2), True, id="far ahead"),
        pytest.param(PreVote(3, 2, 2), False, id="a term that is not newer"),
        pytest.param(PreVote(4, 1, 2), False, id="log too short"),
        pytest.param(PreVote(4, 9, 1), False, id="log of an older term"),
    ],
)
def test_pre_vote_is_granted_like_a_vote(request_, granted):
    """§9.6: under the rules of §5.4.1; it does not bind the voter."""
    raft = follower([1, 2], term=3, config=PRE_VOTE)
    before = raft.next_timeout()
    receive(raft, "b", request_)
    ready = carry_out(raft)
    assert replies(ready, PreVoteReply) == [PreVoteReply(request_.next_term, granted)]
    assert ready.hard_state is None
    assert (raft.current_term, raft.voted_for, raft.next_timeout()) == (3, None, before)


def test_pre_vote_request_does_not_change_the_voters_term():
    """§9.6: regardless of the sender's term."""
    raft = follower(term=3, config=PRE_VOTE)
    receive(raft, "b", PreVote(10, 0, 0), term=9)
    assert raft.current_term == 3
    assert replies(carry_out(raft), PreVoteReply) == [PreVoteReply(10, vote_granted=True)]


def test_pre_candidate_follows_the_leader_of_its_term():
    """§9.6: its term has not changed."""
    raft = pre_candidate(term=3)
    assert append(raft, "b", (0, 0)).success
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 3, "b")


def test_sole_server_needs_no_pre_vote():
    """§9.6."""
    raft = follower(voters="a", config=BOTH)
    raft.tick(raft.next_timeout())
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)
    raft.tick(raft.next_timeout() + 10)
    assert raft.role is Role.LEADER


@pytest.mark.parametrize("seed", range(5))
def test_partitioned_node_is_not_disruptive_when_it_returns(seed):
    """§9.6: its own term, the leader, and the leader's term do not change."""
    cluster = Cluster("abcde", seed=seed, config=BOTH)
    cluster.run(3.0)
    leading = cluster.leader
    term = leading.current_term
    partitioned = next(voter for voter in "abcde" if voter != leading.node_id)
    cluster.isolate(partitioned)
    cluster.run(10.0)
    assert cluster[partitioned].current_term == term
    cluster.heal()
    cluster.run(1.0)
    assert cluster.leader is leading
    assert {raft.current_term for raft in cluster.running} == {term}
    assert cluster[partitioned].leader == leading.node_id


# --- leader stickiness (§4.2.3) ---------------------------------------------------------------------------------------


def test_voter_that_hears_a_leader_ignores_vote_requests():
    """§4.2.3: within the minimum election time-out it neither adopts the term nor votes."""
    raft = follower(term=3, config=BOTH)
    append(raft, "b", (0, 0), now=10.0)
    soon = 10.0 + CONFIG.election_timeout_min - 0.001
    receive(raft, "c", RequestVote(9, 9), term=8, now=soon)
    receive(raft, "c", PreVote(9, 9, 9), term=8, now=soon)
    ready = carry_out(raft)
    assert (raft.current_term, raft.voted_for) == (3, None)
    assert [message.body for message in ready.messages] == [PreVoteReply(9, vote_granted=False)]


def test_voter_without_leader_for_the_minimum_timeout_votes():
    """§4.2.3: a longer wait would delay the replacement of a crashed leader."""
    raft = follower(term=3, config=BOTH)
    append(raft, "b", (0, 0), now=10.0)
    late = 10.0 + CONFIG.election_timeout_min + 0.001
    receive(raft, "c", PreVote(4, 9, 9), now=late)
    receive(raft, "c", RequestVote(9, 9), term=4, now=late)
    assert [message.body for message in carry_out(raft).messages] == [
        PreVoteReply(4, vote_granted=True),
        RequestVoteReply(vote_granted=True),
    ]


def test_leader_ignores_vote_requests():
    """§4.2.3: a leader counts as hearing from itself; check-quorum is separate."""
    raft = leader(config=CHECK_QUORUM, now=-10.0)
    receive(raft, "b", RequestVote(9, 9), term=8, now=-5.0)
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)
    assert carry_out(raft).messages == []


def test_leadership_transfer_overrides_stickiness():
    """§4.2.3, §3.10: the request has the flag of a transfer."""
    raft = follower(term=3, config=BOTH)
    append(raft, "b", (0, 0), now=10.0)
    receive(raft, "c", RequestVote(0, 0, leadership_transfer=True), term=4, now=10.001)
    assert [message.body for message in carry_out(raft).messages] == [RequestVoteReply(vote_granted=True)]


def test_restarted_voter_ignores_vote_requests_at_first():
    """§4.2.3, §6.4.1: it may have acknowledged a leader just before the restart."""
    raft = follower(term=3, config=BOTH, now=10.0)
    receive(raft, "c", RequestVote(0, 0), term=4, now=10.0 + CONFIG.election_timeout_min - 0.001)
    assert carry_out(raft).messages == []


def test_no_stickiness_without_check_quorum():
    """Otherwise a leader without a quorum could never be replaced."""
    raft = follower(term=3, config=PRE_VOTE)
    append(raft, "b", (0, 0), now=10.0)
    receive(raft, "c", PreVote(4, 0, 0), now=10.001)
    assert replies(carry_out(raft), PreVoteReply) == [PreVoteReply(4, vote_granted=True)]


# --- check-quorum (§6.2) ----------------------------------------------------------------------------------------------


def keep_alive(raft, *followers, until):
    """Let a leader's heartbeats pass, with replies of these followers."""
    while raft.role is Role.LEADER and raft.next_timeout() <= until:
        now = raft.next_timeout()
        for name in followers:
            receive(raft, name, AppendEntriesReply(True, match_index=0), now=now)
        raft.tick(now)


def test_leader_without_quorum_steps_down():
    """§6.2: an election time-out without a successful round of heartbeats to a majority ends its leadership."""
    raft = leader(voters="abcde", config=CHECK_QUORUM)
    request_id = raft.read_index()
    keep_alive(raft, "b", until=5.0)
    ready = carry_out(raft)
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 1, None)
    assert ready.failed_reads == [request_id]
    assert [raft_event.reason for raft_event in raft_events(ready, BecameFollower)] == [
        "no quorum has replied for an election time-out"
    ]


def test_leader_with_quorum_stays():
    """§6.2: replies of two of four others are enough."""
    raft = leader(voters="abcde", config=CHECK_QUORUM)
    keep_alive(raft, "b", "c", until=5.0)
    assert raft.role is Role.LEADER


def test_new_leader_has_an_election_timeout_to_hear_a_quorum():
    """§6.2: a new leader does not step down before replies can arrive."""
    raft = leader(config=CHECK_QUORUM)
    began = raft.next_timeout() - CONFIG.heartbeat_interval
    keep_alive(raft, until=began + CONFIG.election_timeout_max - 0.001)
    assert raft.role is Role.LEADER


def test_leader_stays_without_check_quorum():
    """§5.2: only a newer term deposes a leader."""
    raft = leader(voters="abcde")
    keep_alive(raft, until=5.0)
    assert raft.role is Role.LEADER


def test_partitioned_leader_steps_down_and_the_others_continue():
    """§6.2, §9.6: and it is not disruptive when it returns."""
    cluster = Cluster("abcde", config=BOTH)
    cluster.run(3.0)
    old = cluster.leader
    cluster.isolate(old.node_id)
    cluster.run(2.0)
    assert old.role is not Role.LEADER
    newer = cluster.leader
    assert newer is not None
    cluster.heal()
    cluster.run(1.0)
    assert cluster.leader is newer
    assert old.leader == newer.node_id


def test_broken_link_to_the_leader_does_not_depose_it():
    """§9.6, §4.2.3: only one follower loses its link; the others keep theirs to the leader."""
    cluster = Cluster("abcde", config=BOTH)
    cluster.run(3.0)
    leading = cluster.leader
    lost = next(voter for voter in "abcde" if voter != leading.node_id)
    cluster.cut = {(leading.node_id, lost), (lost, leading.node_id)}
    cluster.run(5.0)
    assert cluster.leader is leading
    assert cluster[lost].current_term == leading.current_term


def test_node_of_newer_term_rejoins_without_deadlock():
    """It rejects the leader's appends; this must depose the leader, so that a new term begins."""
    cluster = Cluster("abc", config=BOTH)
    cluster.run(3.0)
    term = cluster.leader.current_term
    partitioned = cluster.leader.peers[0]
    cluster.isolate(partitioned)
    receive(
        cluster[partitioned],
        cluster[partitioned].peers[0],
        RequestVoteReply(vote_granted=False),
        term=term + 5,
        now=cluster.now,
    )
    cluster.carry_out(partitioned)
    cluster.heal()
    cluster.run(3.0)
    assert cluster.leader.current_term > term + 5
    assert {raft.leader for raft in cluster.running} == {cluster.leader.node_id}


def test_heartbeats_alone_keep_the_quorum():
    """§6.2: an idle leader with a healthy cluster stays."""
    cluster = Cluster("abc", config=BOTH)
    cluster.run(3.0)
    term = cluster.leader.current_term
    cluster.run(30.0)
    assert cluster.leader.current_term == term


def test_committed_entry_survives_with_any_options():
    """Figure 3 holds with and without them."""
    cluster = Cluster("abc", config=BOTH)
    cluster.run(3.0)
    old = cluster.leader
    cluster.propose(old.node_id, b"kept")
    cluster.run(0.2)
    cluster.crash(old.node_id)
    cluster.run(3.0)
    acknowledge(cluster.leader)
    assert b"kept" in [entry.data for entry in cluster.members[cluster.leader.node_id].applied]
