"""§6, cluster membership changes: joint consensus (Figure 11)."""

from dataclasses import replace
from random import Random

import pytest

from raft_pkg.core.errors import ChangeRefusedError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, PreVote, RequestVote, RequestVoteReply, TimeoutNow
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import BecameFollower, ConfigurationChanged, ConfigurationCommitted
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
def test_joint_election_needs_both_majorities(votes, elected):
    """§6: "Agreement (for elections and entry commitment) requires separate majorities from both"."""
    raft = candidate(configuration=JOINT)
    for voter in votes:
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    assert (raft.role is Role.LEADER) is elected


@pytest.mark.parametrize(
    ("followers", "committed"),
    [("bd", True), ("cde", True), ("de", False), ("bc", False), ("cd", False), ("b", False)],
)
def test_joint_commit_needs_both_majorities(followers, committed):
    """§6, the same for commitment."""
    raft = lead(JOINT, committed=False)
    acknowledge(raft, *followers, up_to=1)
    assert (raft.commit_index == 1) is committed


def test_entries_are_replicated_to_both_configurations():
    """§6: "Log entries are replicated to all servers in both configurations"."""
    raft = lead(JOINT, committed=False)
    acknowledge(raft, "b", "c", "d", "e", up_to=0)
    raft.propose(b"x")
    assert sorted(message.recipient for message in carry_out(raft).early_messages) == ["b", "c", "d", "e"]


def test_any_voter_of_either_configuration_may_lead():
    """§6: "Any server from either configuration may serve as leader"."""
    raft = follower(node_id="c", configuration=JOINT)
    raft.tick(raft.next_timeout())
    for voter in "abd":
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER


# --- the effective configuration --------------------------------------------------------------------------------------


def test_newest_configuration_in_the_log_is_effective_before_commit():
    """§6: "a server always uses the latest configuration in its log, regardless of whether the entry is committed"."""
    raft = follower(term=1, configuration=OLD)
    receive(raft, "b", AppendEntries(0, 0, (configuration_entry(1, 1, JOINT),), 0, 0))
    ready = carry_out(raft)
    assert (raft.configuration, raft.configuration_index, raft.commit_index) == (JOINT, 1, 0)
    assert raft_events(ready, ConfigurationChanged) == [ConfigurationChanged(1, 1, JOINT)]
    assert sorted(ready.addresses) == ["a", "b", "c", "d", "e"]


def test_truncated_configuration_is_no_longer_effective():
    """§6, §5.3: the log determines the effective configuration."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, OLD), configuration_entry(2, 1, JOINT)])
    append(raft, "b", (2, 1), [configuration_entry(3, 1, NEW)])
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(2, 2)[1:]), 0, 0), term=2)
    assert raft_events(carry_out(raft), ConfigurationChanged) == [ConfigurationChanged(2, 1, OLD)]
    assert (raft.configuration, raft.configuration_index) == (OLD, 1)
    assert raft.peers == ("b", "c")


def test_truncation_after_the_configuration_leaves_it_effective():
    """§6, §5.3."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, JOINT), *log_of(1, 1)[1:]])
    carry_out(raft)
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(2, 2)[1:]), 0, 0), term=2)
    assert raft_events(carry_out(raft), ConfigurationChanged) == []
    assert raft.configuration == JOINT


def test_restarted_server_uses_the_configuration_of_its_log():
    """§6: the configuration that it is started with is older."""
    entries = [configuration_entry(1, 1, OLD), *log_of(1, 1)[1:], configuration_entry(3, 1, JOINT)]
    raft = Raft("a", OLD, config=CONFIG, random=Random(0), now=0.0, hard_state=HardState(1), entries=entries)
    assert (raft.configuration, raft.configuration_index) == (JOINT, 3)
    assert [raft.configuration_at(index) for index in (1, 2, 3)] == [OLD, OLD, JOINT]


# --- the order: C_old, C_old,new, C_new -------------------------------------------------------------------------------


def configurations(raft):
    """Return all configurations in a log."""
    return [
        (entry.index, raft.configuration_at(entry.index))
        for entry in raft.log.slice(raft.log.first_index, raft.log.last_index + 1)
        if entry.kind is EntryKind.CONFIGURATION
    ]


def test_change_of_voters_begins_with_c_old_new():
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
    assert raft_events(ready, ConfigurationCommitted) == []
    acknowledge(raft, "b", "d")
    assert raft_events(carry_out(raft), ConfigurationCommitted) == [ConfigurationCommitted(1, 3)]
    assert not raft.configuration.is_joint


def test_commit_of_earlier_entries_does_not_start_c_new():
    """§6: the quorum is that of C_old,new already, but C_old,new itself is not committed yet."""
    raft = lead(configuration("abcd"))
    entry = raft.propose(b"x")
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b", "c", up_to=entry.index)
    assert raft.commit_index == entry.index
    assert configurations(raft) == [(entry.index + 1, configuration("abc", outgoing="abcd"))]


def test_c_new_is_committed_by_its_own_majority():
    """§6: "the old configuration is irrelevant and servers not in the new configuration can be shut down"."""
    raft = lead(configuration("abcde"))
    for removed in "ed":
        raft.change_members(Remove(removed), 0.0)
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


def test_new_leader_completes_the_change():
    """§6: a leader that commits the C_old,new of its log continues with C_new."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, JOINT)], commit=1)
    raft.tick(raft.next_timeout())
    for voter in "bde":
        receive(raft, voter, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert [index for index, _ in configurations(raft)] == [1]
    acknowledge(raft, "b", "d", up_to=2)
    assert configurations(raft) == [(1, JOINT), (3, NEW)]


def test_new_leader_without_c_old_new_uses_c_old():
    """§6: "If the leader crashes, a new leader may be chosen under either C_old or C_old,new"."""
    raft = follower([1], configuration=OLD)
    raft.tick(raft.next_timeout())
    receive(raft, "c", RequestVoteReply(vote_granted=True))
    assert raft.role is Role.LEADER
    assert sorted(raft.progress) == ["b", "c"]


def test_learner_is_added_and_removed_in_one_step():
    """§6: the majorities do not change, so no joint configuration is needed."""
    raft = lead(configuration("abc", learners="d"))
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    acknowledge(raft, "b")
    assert configurations(raft) == [(2, OLD)]
    assert raft_events(carry_out(raft), ConfigurationCommitted) == [ConfigurationCommitted(1, 2)]
    assert sorted(raft.progress) == ["b", "c"]


# --- one change at a time ---------------------------------------------------------------------------------------------


def test_change_is_refused_while_another_is_in_progress():
    """§6: the C_old of the second change would not be committed."""
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


def test_removed_leader_steps_down_when_c_new_is_committed():
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
    assert raft_events(ready, ConfigurationCommitted) == [ConfigurationCommitted(1, 3)]
    assert raft_events(ready, BecameFollower) == [BecameFollower(1, None, "this node was removed from the voters")]


def test_leader_that_is_being_removed_does_not_count_itself():
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


def test_removed_leader_sends_timeout_now_to_most_up_to_date_voter():
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


def test_removed_server_does_not_campaign():
    """Dissertation §4.2.2: it knows that C_new is committed."""
    raft = follower(term=1, configuration=OLD)
    append(raft, "b", (0, 0), [configuration_entry(1, 1, configuration("bc"))], commit=1)
    before = raft.next_timeout()
    raft.tick(before)
    ready = carry_out(raft)
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 1, None)
    assert replies(ready, RequestVote) == replies(ready, PreVote) == []
    assert raft.next_timeout() > before


def test_server_campaigns_until_its_removal_is_committed():
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
def test_restarted_leader_completes_its_own_removal(config):
    """Dissertation §4.2.2, Figure 4.6: b uses C_old,new and needs the vote of a, whose log is more up to date."""
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


# --- disruptive removed servers ---------------------------------------------------------------------------------------


def test_removed_server_does_not_depose_the_leader():
    """§6, third issue: servers "disregard RequestVote RPCs when they believe a current leader exists"."""
    raft = lead(OLD, config=PROTECTED)
    receive(raft, "removed", RequestVote(99, 9), term=9)
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)
    assert replies(carry_out(raft), RequestVoteReply) == []


def test_followers_that_hear_their_leader_ignore_removed_server():
    """§6: within "the minimum election timeout of hearing from a current leader", no vote is given."""
    raft = follower(term=1, config=PROTECTED, configuration=OLD)
    append(raft, "b", (0, 0), now=5.0)
    receive(raft, "removed", RequestVote(99, 9), term=9, now=5.0 + PROTECTED.election_timeout_min - 0.001)
    assert (raft.current_term, raft.voted_for) == (1, None)
    receive(raft, "removed", RequestVote(99, 9), term=9, now=5.0 + PROTECTED.election_timeout_min)
    assert (raft.current_term, raft.voted_for) == (9, "removed")


def test_replies_of_removed_server_are_ignored():
    """§6: it is in no configuration, so it has no vote, and its term is not adopted."""
    raft = lead(OLD)
    raft.propose(b"x")
    carry_out(raft)
    receive(raft, "removed", AppendEntriesReply(True, match_index=2))
    receive(raft, "removed", AppendEntriesReply(False), term=9)
    receive(raft, "removed", RequestVoteReply(vote_granted=True))
    assert (raft.role, raft.current_term, raft.commit_index) == (Role.LEADER, 1, 1)


# --- non-voting members -----------------------------------------------------------------------------------------------


def test_new_server_joins_as_learner():
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


def test_new_server_is_discovered_before_it_is_added():
    """§6: it becomes a member in the incarnation that replies."""
    raft = lead(OLD)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    ready = carry_out(raft)
    assert raft.configuration == OLD
    assert ready.addresses["d"] == "d:6000"
