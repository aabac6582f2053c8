"""§6, cluster membership changes: joint consensus (Figure 11)."""

from dataclasses import replace
from random import Random

import pytest

from raft_pkg.core.errors import ChangeRefusedError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, PreVote, RequestVote, RequestVoteReply, TimeoutNow
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import BecameFollower, ChangeCompleted, ConfigurationChanged
from raft_pkg.core.types import EntryKind, HardState, Role
from tests.support.changing import ChangingCluster
from tests.support.core import (
    CONFIG,
    acknowledge,
    append,
    candidate,
    carry_out,
    follower,
    log_of,
    raft_events,
    receive,
    replies,
)
from tests.support.members import configuration, configuration_entry, lead

OLD = configuration("abc")
JOINT = configuration("abde", outgoing="abc")
NEW = configuration("abde")
PROTECTED = replace(CONFIG, check_quorum=True)


# --- both majorities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "elected"),
    [
        pytest.param("bde", True, id="a majority of each"),
        pytest.param("bd", True, id="three of four, two of three"),
        pytest.param("de", False, id="of C_new alone"),
        pytest.param("bc", False, id="of C_old alone"),
        pytest.param("cd", False, id="a majority of all five together, not of C_new"),
        pytest.param("cde", True, id="with a voter that only C_old has"),
    ],
)
def test_a_joint_election_needs_both_majorities(votes, elected):
    """§6: "Agreement (for elections and entry commitment) requires separate majorities from both"."""
    raft = candidate(configuration=JOINT)
    for voter in votes:
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    assert (raft.role is Role.LEADER) is elected


@pytest.mark.parametrize(
    ("followers", "committed"),
    [("bd", True), ("cde", True), ("de", False), ("bc", False), ("cd", False), ("b", False)],
)
def test_a_joint_commit_needs_both_majorities(followers, committed):
    """§6, as above, for entries."""
    raft = lead(JOINT, committed=False)
    acknowledge(raft, *followers, up_to=1)
    assert (raft.commit_index == 1) is committed


def test_entries_go_to_the_servers_of_both_configurations():
    """§6: "Log entries are replicated to all servers in both configurations"."""
    raft = lead(JOINT, committed=False)
    acknowledge(raft, "b", "c", "d", "e", up_to=0)
    raft.propose(b"x")
    assert sorted(message.recipient for message in carry_out(raft).early_messages) == ["b", "c", "d", "e"]


def test_any_server_of_either_configuration_may_lead():
    """§6: "Any server from either configuration may serve as leader"."""
    raft = follower(node_id="c", configuration=JOINT)
    raft.tick(raft.next_timeout())
    for voter in "abd":
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER


# --- which configuration counts, and when -----------------------------------------------------------------------------


def test_a_server_goes_by_the_newest_configuration_of_its_log_committed_or_not():
    """§6: "a server always uses the latest configuration in its log, regardless of whether the entry is committed"."""
    raft = follower(term=1, configuration=OLD)
    receive(raft, "b", AppendEntries(0, 0, (configuration_entry(1, 1, JOINT),), 0, 0))
    ready = carry_out(raft)
    assert (raft.configuration, raft.configuration_index, raft.commit_index) == (JOINT, 1, 0)
    assert raft_events(ready, ConfigurationChanged) == [ConfigurationChanged(1, 1, JOINT)]
    assert sorted(ready.addresses) == ["a", "b", "c", "d", "e"]


def test_a_configuration_that_is_truncated_counts_no_more():
    """§6, §5.3: what stands in the log counts, and so what is taken out of it does not."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, OLD), configuration_entry(2, 1, JOINT)])
    append(raft, "b", (2, 1), [configuration_entry(3, 1, NEW)])
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(2, 2)[1:]), 0, 0), term=2)
    assert raft_events(carry_out(raft), ConfigurationChanged) == [ConfigurationChanged(2, 1, OLD)]
    assert (raft.configuration, raft.configuration_index) == (OLD, 1)
    assert raft.peers == ("b", "c")


def test_a_truncation_behind_the_configuration_leaves_it():
    """§6, §5.3."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, JOINT), *log_of(1, 1)[1:]])
    carry_out(raft)
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(2, 2)[1:]), 0, 0), term=2)
    assert raft_events(carry_out(raft), ConfigurationChanged) == []
    assert raft.configuration == JOINT


def test_a_restarted_server_goes_by_the_configuration_of_its_log():
    """§6: what it was started with is older than anything that its log says."""
    entries = [configuration_entry(1, 1, OLD), *log_of(1, 1)[1:], configuration_entry(3, 1, JOINT)]
    raft = Raft("a", OLD, config=CONFIG, random=Random(0), now=0.0, hard_state=HardState(1), entries=entries)
    assert (raft.configuration, raft.configuration_index) == (JOINT, 3)
    assert [raft.configuration_at(index) for index in (1, 2, 3)] == [OLD, OLD, JOINT]


# --- the order: C_old, C_old,new, C_new -------------------------------------------------------------------------------


def configurations(raft):
    """All that this log says about who belongs to the cluster."""
    return [
        (entry.index, raft.configuration_at(entry.index))
        for entry in raft.log.slice(raft.log.first_index, raft.log.last_index + 1)
        if entry.kind is EntryKind.CONFIGURATION
    ]


def test_a_change_of_voters_begins_with_c_old_new():
    """§6: it "stores the configuration for joint consensus (C_old,new …) as a log entry and replicates that entry"."""
    raft = lead(OLD)
    raft.change_members(Remove("c"), 0.0)
    ready = carry_out(raft)
    joint = configuration("ab", outgoing="abc")
    assert configurations(raft) == [(2, joint)]
    assert raft.configuration == joint
    sent = [(message.recipient, message.body.entries) for message in ready.early_messages]
    assert sent == [("b", (configuration_entry(2, 1, joint),)), ("c", (configuration_entry(2, 1, joint),))]


def test_c_new_follows_only_when_c_old_new_is_committed():
    """§6: once it is committed, "it is now safe for the leader to create a log entry describing C_new"."""
    raft = lead(configuration("abc", learners="d"))
    raft.change_members(Promote("d"), 0.0)
    carry_out(raft)
    joint = configuration("abcd", outgoing="abc")
    acknowledge(raft, "b")
    assert configurations(raft) == [(2, joint)]  # two of the old three, and not three of the new four
    acknowledge(raft, "d")
    assert configurations(raft) == [(2, joint), (3, configuration("abcd"))]
    assert raft.commit_index == 2
    ready = carry_out(raft)
    assert raft_events(ready, ChangeCompleted) == []
    acknowledge(raft, "b", "d")
    assert raft_events(carry_out(raft), ChangeCompleted) == [ChangeCompleted(1, 3)]
    assert not raft.configuration.is_joint


def test_the_commitment_of_what_was_before_leads_to_no_c_new():
    """§6: the majorities that count are those of C_old,new already, and C_old,new itself is not committed by that."""
    raft = lead(configuration("abcd"))
    entry = raft.propose(b"x")
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b", "c", up_to=entry.index)
    assert raft.commit_index == entry.index
    assert configurations(raft) == [(entry.index + 1, configuration("abc", outgoing="abcd"))]


def test_c_new_is_committed_by_its_own_majority_alone():
    """§6: "the old configuration is irrelevant and servers not in the new configuration can be shut down"."""
    raft = lead(configuration("abcde"))
    for gone in "ed":
        raft.change_members(Remove(gone), 0.0)
        carry_out(raft)
        acknowledge(raft, *raft.peers)
        carry_out(raft)
        acknowledge(raft, "b", "c")
        carry_out(raft)
    assert raft.configuration == configuration("abc")
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "c")
    assert raft.commit_index == raft.log.last_index


def test_a_new_leader_finishes_what_its_predecessor_began():
    """§6: a leader that finds C_old,new committed in its log goes on to C_new."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, JOINT)], commit=1)
    raft.tick(raft.next_timeout())
    for voter in "bde":
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert [index for index, _ in configurations(raft)] == [1]
    acknowledge(raft, "b", "d", up_to=2)
    assert configurations(raft) == [(1, JOINT), (3, NEW)]


def test_a_new_leader_without_c_old_new_goes_by_c_old():
    """§6: "If the leader crashes, a new leader may be chosen under either C_old or C_old,new"."""
    raft = follower([1], configuration=OLD)
    raft.tick(raft.next_timeout())
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER
    assert sorted(raft.progress) == ["b", "c"]


def test_a_learner_comes_and_goes_in_one_step():
    """§6: majorities stay what they are, so nothing needs two of them."""
    raft = lead(configuration("abc", learners="d"))
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b")
    assert configurations(raft) == [(2, OLD)]
    assert raft_events(carry_out(raft), ChangeCompleted) == [ChangeCompleted(1, 2)]
    assert sorted(raft.progress) == ["b", "c"]


# --- one change at a time ---------------------------------------------------------------------------------------------


def test_no_change_begins_before_the_last_one_is_committed():
    """§6: C_old,new of one change would be C_old of none."""
    raft = lead(configuration("abcd"))
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    with pytest.raises(ChangeRefusedError, match="another change is in progress: the configuration at index 2"):
        raft.change_members(Remove("c"), 0.0)
    acknowledge(raft, "b", "c")
    with pytest.raises(ChangeRefusedError, match="another change is in progress: the configuration at index 3"):
        raft.change_members(Remove("c"), 0.0)
    acknowledge(raft, "b", "c")
    raft.change_members(Remove("c"), 0.0)


# --- a leader that is not part of C_new -------------------------------------------------------------------------------


def test_a_leader_that_is_not_in_c_new_steps_down_once_that_is_committed():
    """§6: "the leader steps down (returns to follower state) once it has committed the C_new log entry"."""
    raft = lead(OLD)
    raft.change_members(Remove("a"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b", "c")
    carry_out(raft)
    assert (raft.role, raft.configuration) == (Role.LEADER, configuration("bc"))
    acknowledge(raft, "b")
    assert raft.role is Role.LEADER
    acknowledge(raft, "c")
    ready = carry_out(raft)
    assert (raft.role, raft.commit_index) == (Role.FOLLOWER, 3)
    assert raft_events(ready, ChangeCompleted) == [ChangeCompleted(1, 3)]
    assert raft_events(ready, BecameFollower) == [BecameFollower(1, None, "this node was removed from the voters")]


def test_meanwhile_it_does_not_count_itself():
    """§6: "it replicates log entries but does not count itself in majorities"."""
    raft = lead(OLD)
    raft.change_members(Remove("a"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b", "c")
    carry_out(raft)
    entry = raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "b", up_to=entry.index)
    assert raft.commit_index == 2


def test_it_hands_over_to_who_has_most_of_its_log():
    """Dissertation §4.2.2: the cluster need not wait for an election time-out."""
    raft = lead(configuration("abcd"))
    raft.change_members(Remove("a"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b", "c", "d")
    carry_out(raft)
    acknowledge(raft, "d")
    acknowledge(raft, "b", up_to=2)
    acknowledge(raft, "c")
    (message,) = [m for m in carry_out(raft).messages if isinstance(m.body, TimeoutNow)]
    assert message.recipient in "cd"


def test_a_removed_server_stands_for_no_election():
    """Dissertation §4.2.2: once it knows that C_new is committed."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, configuration("bc"))], commit=1)
    before = raft.next_timeout()
    raft.tick(before)
    ready = carry_out(raft)
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 1, None)
    assert replies(ready, RequestVote) == replies(ready, PreVote) == []
    assert raft.next_timeout() > before


def test_until_then_it_may_be_the_only_one_that_can_be_elected():
    """Dissertation §4.2.2, Figure 4.6: "a server that is not part of its own latest configuration should still start
    new elections", and it does not count its own vote."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, configuration("bc"))])
    raft.tick(raft.next_timeout())
    assert [message.recipient for message in carry_out(raft).messages] == ["b", "c"]
    receive(raft, "b", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.CANDIDATE
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert raft.role is Role.LEADER
    acknowledge(raft, "b", "c")
    assert (raft.role, raft.commit_index) == (Role.FOLLOWER, 2)


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, pre_vote=True, check_quorum=True)])
def test_a_leader_that_crashes_with_the_entry_that_removes_it_comes_back_to_finish(config):
    """Dissertation §4.2.2, Figure 4.6: b goes by C_old,new and needs a's vote; a's log is better than b's."""
    cluster = ChangingCluster("ab", config=config)
    cluster.run(2.0)
    first = cluster.leader.node_id
    (second,) = {"a", "b"} - {first}
    cluster.change(first, Remove(first))
    cluster.deliver_all(lambda message: not any(entry.index > 3 for entry in getattr(message.body, "entries", ())))
    assert not cluster[first].configuration.is_joint
    assert cluster[second].configuration.is_joint
    cluster.network.clear()
    cluster.crash(first)
    cluster.start(first)
    cluster.run(3.0)
    assert (cluster.leader.node_id, cluster.leader.voters) == (second, (second,))
    assert cluster[first].role is Role.FOLLOWER


# --- removed servers disturb nobody -----------------------------------------------------------------------------------


def test_a_removed_server_that_does_not_know_it_deposes_nobody():
    """§6, third issue: servers "disregard RequestVote RPCs when they believe a current leader exists"."""
    raft = lead(OLD, config=PROTECTED)
    receive(raft, "removed", RequestVote(99, 9), term=9)
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)
    assert replies(carry_out(raft), RequestVoteReply) == []


def test_followers_that_hear_their_leader_disregard_it():
    """§6: within "the minimum election timeout of hearing from a current leader", no vote is given."""
    raft = follower(term=1, config=PROTECTED, configuration=OLD)
    append(raft, "b", (0, 0), now=5.0)
    receive(raft, "removed", RequestVote(99, 9), term=9, now=5.0 + PROTECTED.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
    receive(raft, "removed", RequestVote(99, 9), term=9, now=5.0 + PROTECTED.election_timeout_min)
    assert (raft.current_term, raft.voted_for) == (9, "removed")


def test_its_answers_count_for_nothing():
    """§6: who is in no configuration is in no majority, and its term is no reason to step down."""
    raft = lead(OLD)
    raft.propose(b"x")
    carry_out(raft)
    receive(raft, "removed", AppendEntriesReply(True, match_index=2))
    receive(raft, "removed", AppendEntriesReply(False), term=9)
    receive(raft, "removed", RequestVoteReply(vote_granted=True))
    assert (raft.role, raft.current_term, raft.commit_index) == (Role.LEADER, 1, 1)


# --- non-voting members -----------------------------------------------------------------------------------------------


def test_a_new_server_first_gets_the_log_without_a_vote():
    """§6, first issue: "new servers join the cluster as non-voting members (the leader replicates log entries to
    them, but they are not considered for majorities)"."""
    raft = lead(configuration("abc", learners="d"))
    entry = raft.propose(b"x")
    ready = carry_out(raft)
    assert ("d", (entry,)) in [(message.recipient, message.body.entries) for message in ready.early_messages]
    acknowledge(raft, "d")
    assert raft.commit_index == 1
    acknowledge(raft, "b")
    assert raft.commit_index == 2


def test_a_server_that_is_unknown_to_the_leader_is_greeted_before_it_is_added():
    """§6: it takes its place in the configuration as the incarnation that answers."""
    raft = lead(OLD)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    ready = carry_out(raft)
    assert raft.configuration == OLD
    assert ready.addresses["d"] == "d:6000"
