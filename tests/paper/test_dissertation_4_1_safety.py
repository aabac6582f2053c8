"""Dissertation §4.1, §4.3: messages between nodes with different configurations, and when a change may begin."""

import pytest

from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Message,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.types import Role
from tests.support.changing import ChangingCluster, address_of
from tests.support.cluster import Cluster
from tests.support.core import (
    acknowledge,
    append,
    candidate,
    carry_out,
    follower,
    log_of,
    receive,
    replies,
    terms_of,
    vote,
)
from tests.support.members import configuration, configuration_entry, lead

ABC = configuration("abc")


# --- requests are processed "without consulting their current configurations" -----------------------------------------


def test_voter_votes_for_candidate_outside_its_configuration():
    """§4.1: the entry that adds the candidate may not have reached this voter."""
    raft = follower(term=1, configuration=ABC)
    assert vote(raft, "newcomer", RequestVote(0, 0), term=2)
    assert raft.voted_for == "newcomer"


def test_such_a_vote_follows_the_usual_rules():
    """§5.2: there is one vote per term, and the log is checked."""
    raft = follower([1], term=1, configuration=ABC)
    assert not vote(raft, "newcomer", RequestVote(0, 0), term=2)
    assert vote(raft, "newcomer", RequestVote(1, 1), term=2)
    assert not vote(raft, "b", RequestVote(1, 1), term=2)


def test_pre_vote_of_non_member_is_processed():
    """§4.1 with §9.6: otherwise such a candidate could not win."""
    raft = follower(term=1, configuration=ABC)
    receive(raft, "newcomer", PreVote(2, 0, 0))
    assert replies(carry_out(raft), PreVoteReply) == [PreVoteReply(2, vote_granted=True)]


def test_server_follows_leader_outside_its_configuration():
    """§4.1: "a server accepts AppendEntries requests from a leader that is not part of the server's latest
    configuration. Otherwise, a new server could never be added"."""
    raft = follower(term=1, configuration=ABC)
    assert append(raft, "newcomer", (0, 0), log_of(2), term=2, commit=1).success
    assert (raft.leader, terms_of(raft), raft.commit_index) == ("newcomer", [2], 1)


def test_server_without_configuration_follows_a_leader():
    """§4.1: a new server has an empty log."""
    cluster = ChangingCluster("abc")
    cluster.add("d", peers="abc")
    raft = cluster["d"]
    assert not raft.configuration
    body = AppendEntries(0, 0, (configuration_entry(1, 1, ABC),), 0, 0)
    raft.receive(Message("a", "d", 1, body, 0, raft.incarnation), 0.0)
    assert (raft.leader, raft.configuration) == ("a", ABC)


# --- replies count only from members ----------------------------------------------------------------------------------


def test_candidate_counts_only_votes_of_its_own_configuration():
    """§4.1: its own latest configuration determines which votes count."""
    raft = candidate(configuration=configuration("abcde"))
    for non_member in "xyz":
        receive(raft, non_member, RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER


def test_vote_of_learner_does_not_count():
    """§4.2.1: it has no vote in the candidate's configuration, although it replies."""
    raft = candidate(configuration=configuration("abc", learners="d"))
    receive(raft, "d", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE


def test_learner_votes_on_request():
    """§4.1: the candidate may have a newer configuration, in which this learner is a voter."""
    raft = follower(node_id="d", term=1, configuration=configuration("abc", learners="d"))
    assert vote(raft, "a", RequestVote(0, 0), term=2)


def test_new_voter_is_elected_with_votes_of_both_configurations():
    """§4.1: b has C_new with the new voter, c has not; the new voter needs the votes of both."""
    raft = follower(node_id="d", terms=[1], term=1, configuration=configuration("abcd"))
    raft.tick(raft.next_timeout())
    for voter in "bc":
        other = follower(node_id=voter, terms=[1], term=1, configuration=ABC)
        receive(other, "d", RequestVote(1, 1), term=2)
        (reply,) = replies(carry_out(other), RequestVoteReply)
        receive(raft, voter, reply)
    assert raft.role is Role.LEADER


# --- the bug in single-server changes (raft-dev, 2015) ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [AddLearner("e", "e:6000"), Promote("d"), Remove("b")], ids=lambda change: type(change).__name__
)
def test_no_change_before_leader_commits_in_its_own_term(change):
    """§4.1 as corrected: otherwise a leader could overwrite a change of its predecessor, and the majorities of both
    changes need not overlap."""
    raft = lead(configuration("abc", learners="d"), terms=[1, 1, 1], committed=False)
    acknowledge(raft, "b", "c", "d", up_to=3)
    with pytest.raises(ChangeRefusedError, match="the leader has committed no entry of its term 2 yet; try again soon"):
        raft.change_members(change, 0.0)
    acknowledge(raft, "b", "c", "d")
    raft.change_members(change, 0.0)


def test_single_server_change_bug_cannot_happen():
    """The counter-example: a of {a, b, c, d} adds e and is partitioned; b, of the old four, removes a and commits with
    c; then a returns and has a majority of {a, b, c, d, e}."""
    cluster = ChangingCluster("abcd")
    cluster.add("e", peers="abcd")
    cluster.run(2.0)
    first = cluster.leader.node_id
    second, third, fourth = (node_id for node_id in "abcd" if node_id != first)
    cluster.change(first, AddLearner("e", address_of("e")))
    cluster.run(0.5)
    cluster.isolate(first, "e")
    cluster.change(first, Promote("e"))
    cluster.elect(second)
    with pytest.raises(ChangeRefusedError, match="committed no entry of its term"):
        cluster.change(second, Remove(first))
    cluster.deliver_all()
    cluster.change(second, Remove(first))
    cluster.run(0.5)
    assert first not in cluster[second].voters
    cluster.heal()
    leaders = set()
    for _ in range(30):  # removed servers may campaign, but never lead
        cluster.run(0.1)
        leaders |= {cluster.leader.node_id} if cluster.leader else set()
    assert leaders
    assert leaders <= {second, third, fourth}
    assert "e" not in cluster.leader.voters


# --- refused changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (AddLearner("b", "b:7000"), "b is a voter already, at b:6000"),
        (AddLearner("d", "d:7000"), "d is a learner already, at d:6000"),
        (AddLearner("e", "d:6000"), "d:6000 is the address of d"),
        (Promote("b"), "b is a voter already"),
        (Promote("e"), "e is not a member: add it first"),
        (Remove("e"), r"e is not a member \(a, b, c, d\)"),
    ],
)
def test_invalid_change_is_refused(change, why):
    """§4.3: the error has the reason, and nothing is changed."""
    raft = lead(configuration("abc", learners="d"))
    with pytest.raises(ChangeRefusedError, match=why):
        raft.change_members(change, 0.0)
    assert carry_out(raft).entries == []
    raft.change_members(Remove("d"), 0.0)


def test_invalid_identity_is_an_error():
    """§4.3: an invalid node id is a ValueError, not a refusal."""
    with pytest.raises(ValueError, match="cannot be a member"):
        lead(ABC).change_members(AddLearner("", "d:6000"), 0.0)


def test_last_voter_cannot_be_removed():
    """§4.3: the cluster would be left without a voter."""
    raft = lead(configuration("a"))
    with pytest.raises(ChangeRefusedError, match="a is the last voter"):
        raft.change_members(Remove("a"), 0.0)


def test_only_a_leader_changes_the_configuration():
    """§4.1: configurations are entries of the log."""
    with pytest.raises(NotLeaderError):
        follower(configuration=ABC).change_members(Remove("b"), 0.0)


def test_no_change_during_leadership_transfer():
    """Dissertation §3.10: the leader accepts no proposals."""
    raft = lead(configuration("abcd"))
    raft.transfer_leadership("b", 0.0)
    with pytest.raises(ChangeRefusedError, match="leadership is being transferred to b"):
        raft.change_members(Remove("c"), 0.0)


def test_change_that_would_lose_quorum_is_refused():
    """§4.3: c is unresponsive, so b is needed."""
    raft = lead(ABC)
    acknowledge_at(raft, "b", now=9.0)
    with pytest.raises(ChangeRefusedError, match="it would lose quorum: of the voters a, b, c only a, b respond"):
        raft.change_members(Remove("b"), 9.0)
    raft.change_members(Remove("c"), 9.0)


def test_node_that_never_replied_counts_as_unresponsive():
    """§4.3: a new leader does not know yet that c has crashed; it could never leave C_old,new."""
    raft = lead(ABC, unresponsive="c")
    with pytest.raises(ChangeRefusedError, match="it would lose quorum: of the voters a, b, c only a, b respond"):
        raft.change_members(Remove("b"), 0.0)


def test_both_majorities_of_c_old_new_must_be_responsive():
    """§6, §4.3: both of {a, b} are needed before d can help."""
    raft = lead(configuration("ab", learners="d"))
    acknowledge_at(raft, "d", now=9.0)
    with pytest.raises(ChangeRefusedError, match="it would lose quorum: of the voters a, b, d only a, d respond"):
        raft.change_members(Promote("d"), 9.0)


def acknowledge_at(raft, follower_id, now):
    receive(raft, follower_id, AppendEntriesReply(True, match_index=raft.log.last_index), now=now)


def test_cluster_has_at_most_64_members():
    """The number of members is limited."""
    names = [f"n{number}" for number in range(62)]
    raft = lead(configuration(["a", "b"], learners=names))
    with pytest.raises(ChangeRefusedError, match="at most 64 members"):
        raft.change_members(AddLearner("c", "c:6000"), 0.0)


def test_configuration_that_is_not_in_the_log_works():
    """§4: a node may be started with a configuration that never changes."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.deliver_all()
    assert cluster["a"].configuration_index == 0
    assert cluster["a"].commit_index == 1
