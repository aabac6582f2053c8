"""Dissertation §4.2: catching up new servers, removing the current leader, disruptive servers."""

from dataclasses import replace

import pytest

from raft_pkg.core.errors import ChangeRefusedError, TransferRefusedError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.membership_changes import JOIN_ELECTION_TIMEOUTS
from raft_pkg.core.messages import AppendEntriesReply, Discovery, Message, RequestVote, TimeoutNow
from raft_pkg.core.ready import BecameFollower, ConfigurationChangeFailed, ConfigurationCommitted
from raft_pkg.core.types import Role
from tests.support.changing import ChangingCluster, address_of
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, raft_events, receive, replies
from tests.support.members import configuration, lead

ABC = configuration("abc")
WITH_LEARNER = configuration("abc", learners="d")
BOTH = replace(CONFIG, pre_vote=True, check_quorum=True)
FEW = replace(CONFIG, appends_in_flight_max=2)


def reply_to_discovery(raft, sender, *, incarnation=7, uninitialized=True, now=0.0, address=""):
    """Deliver the discovery reply of a node that belongs to no cluster, or to another one."""
    challenge = raft._changes._challenges.get(sender, 0)
    discovery = Discovery(uninitialized, (), address or address_of(sender), is_reply=True, challenge=challenge)
    raft.receive(Message(sender, raft.node_id, 0, discovery, incarnation, 0), now)


# --- §4.2.1: learners have no vote ------------------------------------------------------------------------------------


def test_learner_does_not_count_for_commitment():
    """§4.2.1: it does not count towards majorities."""
    raft = lead(WITH_LEARNER)
    raft.propose(b"x")
    carry_out(raft)
    acknowledge(raft, "d")
    assert raft.commit_index == 1


def test_learner_does_not_count_for_check_quorum():
    """§6.2 with §4.2.1: a leader to which only learners reply steps down."""
    raft = lead(WITH_LEARNER, config=replace(CONFIG, check_quorum=True))
    now = 0.0
    while raft.role is Role.LEADER and now < 5.0:
        now = raft.next_timeout()
        receive(raft, "d", AppendEntriesReply(True, match_index=1), now=now)
        raft.tick(now)
    assert CONFIG.election_timeout_max < now < 2 * CONFIG.election_timeout_max


def test_learner_does_not_confirm_reads():
    """§6.4 with §4.2.1."""
    raft = lead(WITH_LEARNER)
    request_id = raft.read_index()
    carry_out(raft)
    acknowledge(raft, "d", read_round=1)
    assert carry_out(raft).reads == []
    acknowledge(raft, "c", read_round=1)
    assert carry_out(raft).reads == [(request_id, 1)]


def test_learner_never_campaigns():
    """§4.2.1."""
    raft = follower(node_id="d", term=1, configuration=WITH_LEARNER)
    append(raft, "a", (0, 0))
    for _ in range(5):
        raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert (raft.role, raft.current_term, raft.leader) == (Role.FOLLOWER, 1, None)
    assert replies(ready, RequestVote) == []


def test_learner_cannot_become_leader_by_transfer():
    """§3.10 with §4.2.1: the leader refuses it as a target, and the learner ignores TimeoutNow."""
    raft = lead(WITH_LEARNER)
    with pytest.raises(TransferRefusedError, match=r"d is not another voter; other voters: b, c"):
        raft.transfer_leadership("d", 0.0)
    learner = follower(node_id="d", term=1, configuration=WITH_LEARNER)
    append(learner, "a", (0, 0))
    receive(learner, "a", TimeoutNow())
    assert learner.role is Role.FOLLOWER


# --- §4.2.1: joining --------------------------------------------------------------------------------------------------


def test_new_server_is_added_in_the_incarnation_that_replies():
    """§4.2.1, §4.1: the command has only its address; the configuration has the incarnation of the reply."""
    raft = lead(ABC)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    (message,) = [m for m in carry_out(raft).messages if isinstance(m.body, Discovery)]
    assert (message.recipient, message.recipient_incarnation, message.body.leader) == ("d", 0, "a")
    reply_to_discovery(raft, "d", incarnation=7)
    ready = carry_out(raft)
    assert raft.configuration == configuration("abc", learners="d", incarnations={"d": 7})
    assert [m.recipient_incarnation for m in ready.early_messages if m.recipient == "d"] == [7]
    acknowledge(raft, "b")
    assert raft_events(carry_out(raft), ConfigurationCommitted) == [ConfigurationCommitted(1, 2)]


def test_discovery_is_sent_again_until_the_new_server_replies():
    """§4.2.1 on a network that loses messages."""
    raft = lead(ABC)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    carry_out(raft)
    raft.tick(raft.next_timeout())
    assert [m.recipient for m in carry_out(raft).messages] == ["d"]


def test_change_fails_if_the_new_server_does_not_reply():
    """§4.2.1: the leader aborts the change when the new server is unavailable."""
    raft = lead(ABC)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    with pytest.raises(ChangeRefusedError, match="another change is in progress: d is being added"):
        raft.change_members(Remove("c"), 0.0)
    while raft.next_timeout() <= JOIN_ELECTION_TIMEOUTS * CONFIG.election_timeout_max:
        raft.tick(raft.next_timeout())
    assert raft_events(carry_out(raft), ConfigurationChangeFailed) == []
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    why = "d did not reply at d:6000 within 6 s; does it run there?"
    assert raft_events(ready, ConfigurationChangeFailed) == [ConfigurationChangeFailed(1, why)]
    assert sorted(ready.addresses) == ["a", "b", "c"]
    reply_to_discovery(raft, "d", now=raft.next_timeout())
    assert raft.configuration == ABC


def test_new_server_is_not_added_without_quorum():
    """§4.3: when it replies, no quorum is responsive, so the change could not be committed."""
    raft = lead(ABC)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    carry_out(raft)
    reply_to_discovery(raft, "d", now=5.0)
    ready = carry_out(raft)
    why = "it would lose quorum: of the voters a, b, c only a respond"
    assert raft_events(ready, ConfigurationChangeFailed) == [ConfigurationChangeFailed(1, why)]
    assert sorted(ready.addresses) == ["a", "b", "c"]
    assert raft.configuration == ABC


def test_deposed_leader_forgets_the_joining_server():
    """§4.1: the next leader has to be asked again."""
    raft = lead(ABC)
    raft.change_members(AddLearner("d", "d:6000"), 0.0)
    append(raft, "b", (0, 0), term=9)
    assert sorted(raft.addresses) == ["a", "b", "c"]
    reply_to_discovery(raft, "d")
    assert raft.configuration == ABC


# --- §4.2.1: promotion ------------------------------------------------------------------------------------------------


def caught_up_to(index):
    """Return a leader with eleven entries whose learner d has those up to an index."""
    raft = lead(WITH_LEARNER, terms=[1] * 10, config=FEW, unresponsive="d")
    acknowledge(raft, "d", up_to=index)
    carry_out(raft)
    return raft


def test_learner_that_has_caught_up_is_promoted():
    """§4.2.1: it lacks no more entries than may be in flight, so it will not delay commits."""
    raft = caught_up_to(9)
    raft.change_members(Promote("d"), 0.0)
    assert raft.configuration == configuration("abcd", outgoing="abc")


def test_learner_that_lags_is_not_promoted():
    """§4.2.1: as a voter it could be needed for a majority at once."""
    raft = caught_up_to(8)
    with pytest.raises(ChangeRefusedError, match="d has not caught up: it lacks 3 entries, or is unresponsive"):
        raft.change_members(Promote("d"), 0.0)


def test_unresponsive_learner_is_not_promoted():
    """§4.2.1: regardless of the entries that it has."""
    raft = caught_up_to(11)
    acknowledge(raft, "b")
    with pytest.raises(ChangeRefusedError, match="or is unresponsive"):
        raft.change_members(Promote("d"), 1.0)


def test_learner_that_never_replied_is_not_promoted():
    """§4.2.1: an empty log lacks only few entries of a short one."""
    raft = lead(WITH_LEARNER, unresponsive="d")
    with pytest.raises(ChangeRefusedError, match="d has not caught up: it lacks 1 entries, or is unresponsive"):
        raft.change_members(Promote("d"), 0.0)


def test_learner_is_promoted_automatically_when_it_has_caught_up():
    """§4.2.1: a single command adds a voter; the leader waits until it has caught up."""
    raft = lead(configuration("abc", learners="d", to_promote="d"), terms=[1] * 10, config=FEW, unresponsive="d")
    raft.tick(raft.next_timeout())
    assert not raft.configuration.is_joint
    acknowledge(raft, "d", up_to=8)
    raft.tick(raft.next_timeout())
    assert not raft.configuration.is_joint
    acknowledge(raft, "b", "c", "d")
    raft.tick(raft.next_timeout())
    assert raft.configuration == configuration("abcd", outgoing="abc")


def test_later_leader_promotes_the_learner():
    """§4.2.1: `to_promote` is part of the configuration."""
    cluster = ChangingCluster("abc", config=BOTH)
    cluster.add("d", peers="abc", start=False)
    cluster.run(2.0)
    first = cluster.leader.node_id
    cluster.start("d")
    cluster.change(first, AddLearner("d", address_of("d"), promote=True))
    cluster.deliver_all(lambda message: isinstance(message.body, Discovery))
    cluster.carry_out(first)
    cluster.deliver_all()
    cluster.crash(first)
    cluster.run(3.0)
    assert cluster.leader.node_id != first
    assert "d" in cluster.leader.voters
    assert cluster.leader.configuration.to_promote == ()


# --- §4.2.2: removing the current leader ------------------------------------------------------------------------------


def test_cluster_continues_at_once_when_its_leader_is_removed():
    """§4.2.2: the leader manages the cluster until C_new is committed, steps down, and sends TimeoutNow."""
    cluster = ChangingCluster("abc", config=BOTH)
    cluster.run(2.0)
    first, term = cluster.leader.node_id, cluster.leader.current_term
    cluster.change(first, Remove(first))
    cluster.run(CONFIG.election_timeout_min / 2)
    assert cluster[first].role is Role.FOLLOWER
    assert cluster.leader.node_id != first
    assert cluster.leader.current_term == term + 1
    assert first not in cluster.leader.voters
    cluster.propose(cluster.leader.node_id, b"later")
    cluster.run(1.0)
    assert cluster.members[cluster.leader.node_id].applied[-1].data == b"later"
    assert cluster[first].current_term == term


def test_lease_ends_before_removed_leader_sends_timeout_now():
    """§4.2.2, §6.4.1: the next leader may be elected at once."""
    raft = lead(ABC, config=replace(CONFIG, check_quorum=True, lease_reads=True))
    raft.change_members(Remove("a"), 0.0)
    carry_out(raft)
    for _ in range(2):
        acknowledge(raft, "b", "c", read_round=9)
        carry_out(raft)
    assert raft.role is Role.FOLLOWER
    assert raft._leader_reads.is_lease_revoked


def test_either_of_two_voters_can_be_removed():
    """§4.2.2, §4.3: of two, either can go."""
    for removed in "ab":
        raft = lead(configuration("ab"))
        raft.change_members(Remove(removed), 0.0)
        carry_out(raft)
        acknowledge(raft, "b")
        carry_out(raft)
        if removed == "a":
            acknowledge(raft, "b")
        carry_out(raft)
        assert raft.configuration == configuration("b" if removed == "a" else "a")
        assert raft.commit_index == 3
        assert (raft.role is Role.LEADER) is (removed == "b")


# --- §4.2.3: disruptive servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [BOTH, replace(CONFIG, check_quorum=True)], ids=["with pre-vote", "without pre-vote"]
)
def test_partitioned_removed_server_is_not_disruptive(config):
    """§4.2.3: it was partitioned when it was removed, and returns."""
    cluster = ChangingCluster("abcd", config=config)
    cluster.run(2.0)
    leader, term = cluster.leader.node_id, cluster.leader.current_term
    removed = next(node_id for node_id in "abcd" if node_id != leader)
    cluster.isolate(removed)
    cluster.change(leader, Remove(removed))
    cluster.run(2.0)
    cluster.heal()
    cluster.run(3.0)
    assert removed in cluster[removed].voters
    assert (cluster[leader].role, cluster[leader].current_term) == (Role.LEADER, term)
    cluster.propose(leader, b"x")
    cluster.run(0.2)
    assert cluster.members[leader].applied[-1].data == b"x"


def test_voter_that_is_being_removed_is_no_transfer_target():
    """§3.10, §6: a node without a vote in C_new cannot become leader; others can, also while the configuration is
    joint."""
    raft = lead(configuration("abcd"))
    raft.change_members(Remove("d"), 0.0)
    carry_out(raft)
    with pytest.raises(TransferRefusedError, match="d is not another voter"):
        raft.transfer_leadership("d", 0.0)
    raft.transfer_leadership("b", 0.0)
    acknowledge(raft, "b", "c")
    assert raft.transfer_target == "b"
    assert raft_events(carry_out(raft), BecameFollower) == []
