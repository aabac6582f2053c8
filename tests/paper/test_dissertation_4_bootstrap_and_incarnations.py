"""Dissertation §4.4, how a cluster begins, and §3.8 turned round: what becomes of a server that lost its disk.

A disk that was never used before makes its node another one, an incarnation of the same identity: what the former
one has promised or acknowledged is void, and so is what is meant for it.
"""

from dataclasses import replace
from random import Random

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.membership import Remove
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Discovery,
    InstallSnapshotReply,
    Message,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import EntryKind, HardState, Role
from tests.support.changing import ChangingCluster, address_of
from tests.support.core import CONFIG, carry_out, follower, log_of, replies
from tests.support.members import configuration, lead

BOTH = replace(CONFIG, pre_vote=True, check_quorum=True)
PEERS = ("a", "b", "c")


def uninitialized(node_id="a", *, peers=PEERS, incarnation=1, config=CONFIG, hard_state=None, entries=(), now=0.0):
    """A node that was told of its peers and belongs to no cluster."""
    return Raft(
        node_id,
        Configuration(),
        config=config,
        random=Random(0),
        now=now,
        incarnation=incarnation,
        hard_state=hard_state,
        entries=entries,
        peers={peer: address_of(peer) for peer in peers},
    )


def discovery(
    raft, sender, *, is_uninitialized=True, peers=PEERS, incarnation=1, answer=True, leader="", to=None, now=0.0
):
    """Somebody says who it is; to a leader that asks for it, again."""
    body = Discovery(
        is_uninitialized, tuple(peers), address_of(sender), answer, leader, address_of(leader) if leader else ""
    )
    recipient_incarnation = (raft.incarnation if answer else 0) if to is None else to
    if answer and raft.role is Role.LEADER:
        raft.receive(Message(sender, raft.node_id, 0, replace(body, is_reply=False), incarnation, 0), now)
        body = replace(body, challenge=raft._changes._challenges.get(sender, 0))
    raft.receive(Message(sender, raft.node_id, 0, body, incarnation, recipient_incarnation), now)


def said(raft, sender, body, *, incarnation=0, term=None, to=0, now=0.0):
    """A message of one incarnation to one incarnation."""
    term = raft.current_term if term is None else term
    raft.receive(Message(sender, raft.node_id, term, body, incarnation, to), now)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def test_uninitialized_nodes_ask_each_other_who_they_are():
    """§4.4: and go on asking."""
    raft = uninitialized()
    for _ in range(2):
        raft.tick(raft.next_timeout())
        ready = carry_out(raft)
        greeting = Discovery(uninitialized=True, peers=PEERS, address="a:6000")
        assert [(m.recipient, m.body, m.recipient_incarnation) for m in ready.messages] == [
            ("b", greeting, 0),
            ("c", greeting, 0),
        ]
    assert raft.next_timeout() <= 2 * CONFIG.heartbeat_interval


def test_one_of_them_begins_when_all_are_uninitialized_and_were_told_the_same():
    """§4.4: with a configuration as the first entry of its log; each in the incarnation that has answered."""
    raft = uninitialized()
    discovery(raft, "b", incarnation=5)
    assert not raft.configuration
    discovery(raft, "c", incarnation=6)
    ready = carry_out(raft)
    expected = configuration("abc", incarnations={"a": 1, "b": 5, "c": 6})
    assert (raft.configuration, raft.configuration_index) == (expected, 1)
    assert ready.hard_state == HardState(1)
    assert [(entry.term, entry.kind) for entry in ready.entries] == [(1, EntryKind.CONFIGURATION)]
    raft.tick(raft.next_timeout())
    assert (raft.role, raft.current_term) == (Role.CANDIDATE, 2)


def test_only_the_least_of_the_identities_begins():
    """§4.4: two that begin at once would be two clusters."""
    raft = uninitialized("b")
    for other in "ac":
        discovery(raft, other)
    assert not raft.configuration


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"is_uninitialized": False}, id="one that has voted or has a log"),
        pytest.param({"peers": ("a", "b", "c", "d")}, id="one that was told otherwise"),
        pytest.param({"answer": False}, id="a greeting, which may be from long ago"),
        pytest.param({"to": 99}, id="an answer to a former life of this node"),
    ],
)
def test_nobody_begins_while_one_is_not_uninitialized(answer):
    """§4.4: a node that lost its disk would make a cluster beside the old one, of itself and others that are empty."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "c", **answer)
    raft.tick(raft.next_timeout())
    assert not raft.configuration
    discovery(raft, "c")
    assert raft.configuration


def test_who_was_uninitialized_and_is_no_longer_counts_no_longer():
    """§4.4: it may have voted meanwhile."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "b", is_uninitialized=False)
    discovery(raft, "c")
    assert not raft.configuration


def test_a_non_member_is_not_counted():
    """§4.4: only those that this node was told of begin with it."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "z")
    assert not raft.configuration


def test_the_only_node_of_a_cluster_begins_by_itself():
    """§4.4."""
    raft = uninitialized(peers="a")
    raft.tick(raft.next_timeout())
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert raft.role is Role.LEADER
    assert [entry.kind for entry in ready.committed] == [EntryKind.CONFIGURATION, EntryKind.NOOP]


def test_a_uninitialized_node_never_stands():
    """§4.4: nobody may vote for it, since it may be one that lost its disk."""
    raft = uninitialized(config=BOTH)
    for _ in range(50):
        raft.tick(raft.next_timeout())
        assert {type(message.body) for message in carry_out(raft).messages} == {Discovery}
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 0)


def test_a_uninitialized_node_votes_when_it_is_asked():
    """§4.1, §4.4: that is how the first leader is elected."""
    raft = uninitialized("b", config=BOTH)
    said(raft, "a", RequestVote(1, 1), incarnation=1, term=2, to=1)
    assert replies(carry_out(raft), RequestVoteReply) == [RequestVoteReply(vote_granted=True)]
    assert not raft.is_uninitialized


@pytest.mark.parametrize(
    ("hard_state", "entries", "is_uninitialized"),
    [
        (HardState(0), (), True),
        (HardState(1), (), True),
        (HardState(2), (), False),
        (HardState(1, "b"), (), False),
        (HardState(1), log_of(1), False),
    ],
    ids=["nothing", "began, and stopped before the first entry", "a newer term", "a vote", "a log"],
)
def test_who_has_promised_something_is_not_uninitialized(hard_state, entries, is_uninitialized):
    """§4.4: in term 1 nobody is elected, so that nothing can have been promised in it."""
    raft = uninitialized(hard_state=hard_state, entries=entries)
    assert raft.is_uninitialized is is_uninitialized
    for other in "bc":
        discovery(raft, other)
    assert bool(raft.configuration) is is_uninitialized


def test_a_node_of_a_cluster_tells_who_leads_and_where():
    """§4.4: so that whoever was told of one node finds the leader."""
    raft = follower(configuration=configuration("abc"), term=1)
    said(raft, "b", AppendEntries(0, 0, (), 0, 0))
    discovery(raft, "z", answer=False)
    (message,) = [m for m in carry_out(raft).messages if isinstance(m.body, Discovery)]
    assert message.body == Discovery(False, (), "a:6000", is_reply=True, leader="b", leader_address="b:6000")
    assert (message.recipient, message.recipient_incarnation) == ("z", 1)


def test_a_node_asks_the_leader_that_it_was_told_of():
    """§4.4: wherever the cluster has moved since."""
    raft = uninitialized("a", peers="ab")
    discovery(raft, "b", is_uninitialized=False, leader="z")
    assert carry_out(raft).addresses["z"] == "z:6000"
    raft.tick(raft.next_timeout())
    assert [message.recipient for message in carry_out(raft).messages] == ["b", "z"]


def test_an_answer_is_not_answered():
    """Two nodes would go on for ever."""
    raft = uninitialized()
    discovery(raft, "b", is_uninitialized=False)
    assert carry_out(raft).messages == []


def test_the_configuration_of_the_log_overrides_what_a_node_was_told():
    """§4.4: the peers it was started with are for its first start alone."""
    raft = uninitialized(peers="abc", hard_state=HardState(1), entries=())
    for other in "bc":
        discovery(raft, other)
    discovery(raft, "b", is_uninitialized=False, leader="z")
    assert sorted(raft.addresses) == ["a", "b", "c"]


@pytest.mark.parametrize("late", PEERS)
def test_a_cluster_begins_when_the_last_node_has_come(late):
    """§4.4: in any order, and then all are voters."""
    cluster = ChangingCluster("abc", config=BOTH)
    cluster.wipe(late)
    cluster.run(3.0)
    assert cluster.leader is None
    assert all(raft.is_uninitialized for raft in cluster.running)
    cluster.start(late)
    cluster.run(2.0)
    assert cluster.leader.voters == PEERS
    assert {raft.configuration_index for raft in cluster.running} == {1}


def test_a_greeting_from_before_a_vote_begins_no_second_cluster():
    """§4.4: a began, led, and committed with b; c has nothing yet. Then a loses its disk, and only greetings from when
    b and c were uninitialized reach it. With them it would lead c, without what was committed."""
    cluster = ChangingCluster("abc")
    cluster.tick("b")
    cluster.tick("c")
    greetings = [message for message in cluster.network if message.recipient == "a"]
    assert len(greetings) == 2
    cluster.run(1.0)
    cluster.elect("a")
    cluster.isolate("c")
    committed = cluster.propose("a")
    cluster.run(0.1)
    assert cluster["b"].commit_index >= committed.index
    cluster.heal()
    cluster.wipe("a")
    cluster.crash("b")
    cluster.start("a")
    cluster.network = greetings
    cluster.run(3.0)
    assert not cluster["a"].configuration


# --- incarnations: what is void ---------------------------------------------------------------------------------------

REBORN = configuration("abc", incarnations={"b": 2})


def test_a_former_incarnations_acknowledgement_is_void():
    """§3.8 turned round: its disk no longer holds what it said."""
    raft = lead(REBORN, committed=False, unresponsive="b")
    carry_out(raft)
    said(raft, "b", AppendEntriesReply(True, match_index=1), incarnation=1)
    assert raft.commit_index == 0
    said(raft, "b", AppendEntriesReply(True, match_index=1), incarnation=2)
    assert raft.commit_index == 1


def test_a_former_incarnations_vote_is_void():
    """§5.2: the one that lives may give it to somebody else."""
    raft = follower(configuration=REBORN)
    raft.tick(raft.next_timeout())
    said(raft, "b", RequestVoteReply(vote_granted=True), incarnation=1)
    assert raft.role is Role.CANDIDATE
    said(raft, "b", RequestVoteReply(vote_granted=True), incarnation=2)
    assert raft.role is Role.LEADER


@pytest.mark.parametrize(
    "body",
    [PreVoteReply(1, vote_granted=False), AppendEntriesReply(False), InstallSnapshotReply(1, 0)],
    ids=lambda body: type(body).__name__,
)
def test_a_former_incarnations_term_moves_nobody(body):
    """§5.1: what it says is not heard at all."""
    raft = lead(REBORN)
    said(raft, "b", body, incarnation=1, term=9)
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)


def test_what_is_meant_for_a_former_incarnation_is_not_taken():
    """§3.8: entries after those that the former one had would stand on nothing; a vote would be a second one."""
    raft = uninitialized("b", incarnation=2)
    said(raft, "a", AppendEntries(0, 0, tuple(log_of(1)), 0, 0), term=1, to=1)
    said(raft, "a", RequestVote(9, 9), term=9, to=1)
    assert (raft.current_term, raft.log.last_index, raft.voted_for) == (0, 0, None)
    assert carry_out(raft).messages == []


def test_messages_name_both_incarnations():
    """§3.8."""
    raft = lead(REBORN)
    assert {m.recipient: m.recipient_incarnation for m in carry_out_heartbeat(raft)} == {"b": 2, "c": 0}
    other = uninitialized("b", incarnation=2)
    said(other, "a", AppendEntries(0, 0, (), 0, 0), incarnation=7, term=1, to=2)
    (message,) = carry_out(other).messages
    assert (message.sender_incarnation, message.recipient_incarnation) == (2, 7)


def carry_out_heartbeat(raft):
    raft.tick(raft.next_timeout())
    return carry_out(raft).early_messages


def test_the_progress_of_a_former_incarnation_is_forgotten():
    """§5.3: matchIndex was about its log."""
    raft = lead(configuration("abc"))
    assert raft.progress["c"].match_index == 1
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert raft.role is Role.LEADER
    assert raft.configuration == configuration("abc")  # by then b is silent as well: there would be no quorum
    said(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert (raft.progress["c"].match_index, raft.progress["c"].incarnation) == (0, 5)


# --- incarnations: coming back ----------------------------------------------------------------------------------------


def settled_with_c_silent():
    """a leads, and has heard from b lately, from c not for a second."""
    raft = lead(configuration("abc"))
    said(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    return raft


def test_a_voter_that_lost_its_disk_becomes_a_learner_that_will_be_promoted():
    """§4.2.1: its vote leaves by joint consensus, and comes back when it has caught up."""
    raft = settled_with_c_silent()
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    joint = replace(
        configuration("ab", learners="c", to_promote="c", incarnations={"c": 5}),
        outgoing=configuration("abc").voters,
    )
    assert raft.configuration == joint
    carry_out(raft)
    said(raft, "c", AppendEntriesReply(True, match_index=2), incarnation=5, now=1.0)
    assert raft.commit_index == 1  # of C_old, a and b must agree: the c that was in it is gone
    said(raft, "b", AppendEntriesReply(True, match_index=2), now=1.0)
    assert raft.configuration == replace(joint, outgoing=())


@pytest.mark.parametrize(("to_promote", "promoted"), [("", ()), ("d", ("d",))])
def test_a_learner_that_lost_its_disk_stays_one(to_promote, promoted):
    """§4.2.1: in one step, since it has no vote; and what was ordered for it stays ordered."""
    raft = lead(configuration("abc", learners="d", to_promote=to_promote), unresponsive="d")
    for voter in "bc":
        said(raft, voter, AppendEntriesReply(True, match_index=1), now=1.0)
    discovery(raft, "d", incarnation=5, to=0, now=1.0)
    assert raft.configuration == configuration("abc", learners="d", to_promote=promoted, incarnations={"d": 5})


def test_a_greeting_that_comes_late_does_not_replace_who_lives():
    """§4.2.1: the incarnation that the leader knows has just answered, so another one is of the past."""
    raft = lead(configuration("abc", incarnations={"c": 5}), unresponsive="c")
    said(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    said(raft, "c", AppendEntriesReply(True, match_index=1), incarnation=5, now=1.0)
    discovery(raft, "c", incarnation=4, answer=False, now=1.0)
    assert raft.configuration == configuration("abc", incarnations={"c": 5})


def test_a_member_that_says_who_it_is_changes_nothing():
    """§4.2.1: it is known in that incarnation, or not at all."""
    raft = settled_with_c_silent()
    discovery(raft, "c", incarnation=0, to=0, now=1.0)
    discovery(raft, "z", incarnation=9, to=0, now=1.0)
    assert raft.configuration == configuration("abc")


def test_it_waits_while_another_change_is_under_way():
    """§6: one at a time; the node asks again."""
    raft = lead(configuration("abcd"))
    for voter in "bd":
        said(raft, voter, AppendEntriesReply(True, match_index=1), now=1.0)
    raft.change_members(Remove("d"), 1.0)
    under_way = raft.configuration
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert raft.configuration == under_way


def test_a_voter_of_two_that_lost_its_disk_can_not_be_replaced():
    """§4.3: C_old needs both, and one of them is gone for ever: better no change than one that never ends."""
    raft = lead(configuration("ab"))
    discovery(raft, "b", incarnation=5, to=0, now=1.0)
    assert raft.configuration == configuration("ab")


@pytest.mark.parametrize("config", [BOTH, CONFIG], ids=["all extensions", "section 5 alone"])
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_wiped_node_comes_back_and_is_a_voter_again(which, config):
    """§4.2.1, §4.4: by itself, with a log like the others', and nobody gives an order."""
    cluster = ChangingCluster("abc", config=config)
    cluster.run(2.0)
    leader = cluster.leader.node_id
    for number in range(5):
        cluster.propose(leader, b"%d" % number)
    cluster.run(0.2)
    wiped = leader if which == "leader" else next(node_id for node_id in "abc" if node_id != leader)
    cluster.wipe(wiped)
    cluster.run(2.0)
    assert cluster.leader is not None
    before = cluster.leader.configuration_index
    cluster.start(wiped)
    cluster.run(3.0)
    assert cluster.leader.configuration_index > before
    assert cluster.leader.voters == PEERS
    assert cluster.leader.configuration.is_voter(wiped, cluster[wiped].incarnation)
    cluster.propose(cluster.leader.node_id, b"last")
    cluster.run(0.5)
    assert cluster.members[wiped].applied == cluster.members[cluster.leader.node_id].applied
    assert cluster.members[wiped].applied[-1].data == b"last"


def test_a_wiped_node_whose_return_was_truncated_comes_back_all_the_same():
    """§6, §4.2.1: the leader that made it a learner crashes before anybody else has that configuration, and finds it
    truncated when it is back. The wiped node has entries then, and a configuration that nobody else goes by."""
    cluster = ChangingCluster("abcde", config=BOTH)
    cluster.run(2.0)
    leader = cluster.leader.node_id
    wiped, *others = (node_id for node_id in "abcde" if node_id != leader)
    cluster.wipe(wiped)
    cluster.run(0.5)
    cluster.cut = {(leader, other) for other in others}
    cluster.start(wiped)
    for _ in range(20):
        cluster.run(0.01)
    assert cluster[wiped].configuration.is_learner(wiped)
    cluster.crash(leader)
    cluster.cut = set()
    cluster.run(1.0)
    assert cluster.leader.node_id in others
    cluster.start(leader)
    cluster.run(4.0)
    assert cluster.leader.configuration.is_voter(wiped, cluster[wiped].incarnation)


def test_who_has_no_vote_and_hears_nobody_says_who_it_is():
    """§4.2.1: to the others it may be in another incarnation than it is in its own log."""
    raft = follower(node_id="d", configuration=configuration("abc", learners="d"), term=3)
    raft.tick(raft.next_timeout())
    greetings = [(message.recipient, type(message.body)) for message in carry_out(raft).messages]
    assert greetings == [("a", Discovery), ("b", Discovery), ("c", Discovery)]


def test_a_node_without_a_configuration_that_lost_its_leader_names_none():
    """§4.4: else those who ask would go on to look for it there."""
    raft = uninitialized("b")
    said(raft, "a", AppendEntries(0, 0, (), 0, 0), incarnation=1, term=2, to=1)
    assert raft.leader == "a"
    raft.tick(raft.next_timeout())
    assert raft.leader is None
