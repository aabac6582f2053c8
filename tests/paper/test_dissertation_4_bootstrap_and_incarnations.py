"""Dissertation §4.4, bootstrapping, and nodes that have lost their disks.

A node with a new disk has a new incarnation: votes and acknowledgements of its previous incarnation do not count, and
it ignores messages to that one. §3.8 requires persistent state, which is lost here.
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
    """Return a node with bootstrap peers that belongs to no cluster."""
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
    raft, sender, *, is_uninitialized=True, peers=PEERS, incarnation=1, is_reply=True, leader="", to=None, now=0.0
):
    """Deliver a discovery; to a leader, with the reply to its challenge."""
    body = Discovery(
        is_uninitialized, tuple(peers), address_of(sender), is_reply, leader, address_of(leader) if leader else ""
    )
    recipient_incarnation = (raft.incarnation if is_reply else 0) if to is None else to
    if is_reply and raft.role is Role.LEADER:
        raft.receive(Message(sender, raft.node_id, 0, replace(body, is_reply=False), incarnation, 0), now)
        body = replace(body, challenge=raft._changes._challenges.get(sender, 0))
    raft.receive(Message(sender, raft.node_id, 0, body, incarnation, recipient_incarnation), now)


def receive_from(raft, sender, body, *, incarnation=0, term=None, to=0, now=0.0):
    """Deliver a message from and to given incarnations."""
    term = raft.current_term if term is None else term
    raft.receive(Message(sender, raft.node_id, term, body, incarnation, to), now)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def test_uninitialized_nodes_send_discoveries():
    """§4.4: they repeat them."""
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


def test_one_node_bootstraps_when_all_peers_are_uninitialized():
    """§4.4: the first entry of its log is a configuration with the incarnations that replied."""
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


def test_only_the_smallest_identity_bootstraps():
    """§4.4: two nodes could bootstrap two clusters."""
    raft = uninitialized("b")
    for other in "ac":
        discovery(raft, other)
    assert not raft.configuration


@pytest.mark.parametrize(
    "discovery_options",
    [
        pytest.param({"is_uninitialized": False}, id="a peer that has voted or has a log"),
        pytest.param({"peers": ("a", "b", "c", "d")}, id="a peer with other bootstrap peers"),
        pytest.param({"is_reply": False}, id="a request, which may be stale"),
        pytest.param({"to": 99}, id="a reply to the previous incarnation"),
    ],
)
def test_no_bootstrap_unless_all_peers_are_uninitialized(discovery_options):
    """§4.4: a node that lost its disk would bootstrap a second cluster."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "c", **discovery_options)
    raft.tick(raft.next_timeout())
    assert not raft.configuration
    discovery(raft, "c")
    assert raft.configuration


def test_peer_that_is_no_longer_uninitialized_does_not_count():
    """§4.4: it may have voted since."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "b", is_uninitialized=False)
    discovery(raft, "c")
    assert not raft.configuration


def test_only_bootstrap_peers_count():
    """§4.4: other nodes are not part of the first configuration."""
    raft = uninitialized()
    discovery(raft, "b")
    discovery(raft, "z")
    assert not raft.configuration


def test_sole_node_bootstraps_by_itself():
    """§4.4."""
    raft = uninitialized(peers="a")
    raft.tick(raft.next_timeout())
    raft.tick(raft.next_timeout())
    ready = carry_out(raft)
    assert raft.role is Role.LEADER
    assert [entry.kind for entry in ready.committed] == [EntryKind.CONFIGURATION, EntryKind.NOOP]


def test_uninitialized_node_never_campaigns():
    """§4.4: it may be a node that lost its disk."""
    raft = uninitialized(config=BOTH)
    for _ in range(50):
        raft.tick(raft.next_timeout())
        assert {type(message.body) for message in carry_out(raft).messages} == {Discovery}
    assert (raft.role, raft.current_term) == (Role.FOLLOWER, 0)


def test_uninitialized_node_votes_on_request():
    """§4.1, §4.4: the first leader is elected by such votes."""
    raft = uninitialized("b", config=BOTH)
    receive_from(raft, "a", RequestVote(1, 1), incarnation=1, term=2, to=1)
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
    ids=["nothing", "crashed before the first entry", "a newer term", "a vote", "a log"],
)
def test_node_with_persistent_state_is_initialized(hard_state, entries, is_uninitialized):
    """§4.4: the bootstrap term has no election, so that no vote can have been given in it."""
    raft = uninitialized(hard_state=hard_state, entries=entries)
    assert raft.is_uninitialized is is_uninitialized
    for other in "bc":
        discovery(raft, other)
    assert bool(raft.configuration) is is_uninitialized


def test_discovery_reply_has_the_leaders_address():
    """§4.4: one known node is enough to find the leader."""
    raft = follower(configuration=configuration("abc"), term=1)
    receive_from(raft, "b", AppendEntries(0, 0, (), 0, 0))
    discovery(raft, "z", is_reply=False)
    (message,) = [m for m in carry_out(raft).messages if isinstance(m.body, Discovery)]
    assert message.body == Discovery(False, (), "a:6000", is_reply=True, leader="b", leader_address="b:6000")
    assert (message.recipient, message.recipient_incarnation) == ("z", 1)


def test_node_sends_discovery_to_the_leader_it_learned_of():
    """§4.4: the cluster may have moved to other nodes."""
    raft = uninitialized("a", peers="ab")
    discovery(raft, "b", is_uninitialized=False, leader="z")
    assert carry_out(raft).addresses["z"] == "z:6000"
    raft.tick(raft.next_timeout())
    assert [message.recipient for message in carry_out(raft).messages] == ["b", "z"]


def test_discovery_reply_gets_no_reply():
    """Otherwise two nodes would reply to each other forever."""
    raft = uninitialized()
    discovery(raft, "b", is_uninitialized=False)
    assert carry_out(raft).messages == []


def test_configuration_of_the_log_overrides_bootstrap_peers():
    """§4.4: bootstrap peers are only for the first start."""
    raft = uninitialized(peers="abc", hard_state=HardState(1), entries=())
    for other in "bc":
        discovery(raft, other)
    discovery(raft, "b", is_uninitialized=False, leader="z")
    assert sorted(raft.addresses) == ["a", "b", "c"]


@pytest.mark.parametrize("late", PEERS)
def test_cluster_is_bootstrapped_when_all_nodes_have_started(late):
    """§4.4: in any order; then all are voters."""
    cluster = ChangingCluster("abc", config=BOTH)
    cluster.wipe(late)
    cluster.run(3.0)
    assert cluster.leader is None
    assert all(raft.is_uninitialized for raft in cluster.running)
    cluster.start(late)
    cluster.run(2.0)
    assert cluster.leader.voters == PEERS
    assert {raft.configuration_index for raft in cluster.running} == {1}


def test_stale_discovery_requests_do_not_bootstrap_a_second_cluster():
    """§4.4: a bootstrapped, led, and committed with b; c has no log yet. Then a loses its disk, and only requests from
    when b and c were uninitialized reach it. With them it would lead c, without the committed entries."""
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


# --- previous incarnations do not count -------------------------------------------------------------------------------

REBORN = configuration("abc", incarnations={"b": 2})


def test_acknowledgement_of_previous_incarnation_does_not_count():
    """§3.8: the acknowledged entries are lost."""
    raft = lead(REBORN, committed=False, unresponsive="b")
    carry_out(raft)
    receive_from(raft, "b", AppendEntriesReply(True, match_index=1), incarnation=1)
    assert raft.commit_index == 0
    receive_from(raft, "b", AppendEntriesReply(True, match_index=1), incarnation=2)
    assert raft.commit_index == 1


def test_vote_of_previous_incarnation_does_not_count():
    """§5.2: the new incarnation may vote for another candidate."""
    raft = follower(configuration=REBORN)
    raft.tick(raft.next_timeout())
    receive_from(raft, "b", RequestVoteReply(vote_granted=True), incarnation=1)
    assert raft.role is Role.CANDIDATE
    receive_from(raft, "b", RequestVoteReply(vote_granted=True), incarnation=2)
    assert raft.role is Role.LEADER


@pytest.mark.parametrize(
    "body",
    [PreVoteReply(1, vote_granted=False), AppendEntriesReply(False), InstallSnapshotReply(1, 0)],
    ids=lambda body: type(body).__name__,
)
def test_term_of_previous_incarnation_is_ignored(body):
    """§5.1: the whole message is ignored."""
    raft = lead(REBORN)
    receive_from(raft, "b", body, incarnation=1, term=9)
    assert (raft.role, raft.current_term) == (Role.LEADER, 1)


def test_messages_to_previous_incarnation_are_ignored():
    """§3.8: the entries before those of an append are lost; a vote could be a second one in the term."""
    raft = uninitialized("b", incarnation=2)
    receive_from(raft, "a", AppendEntries(0, 0, tuple(log_of(1)), 0, 0), term=1, to=1)
    receive_from(raft, "a", RequestVote(9, 9), term=9, to=1)
    assert (raft.current_term, raft.log.last_index, raft.voted_for) == (0, 0, None)
    assert carry_out(raft).messages == []


def test_messages_have_both_incarnations():
    """§3.8."""
    raft = lead(REBORN)
    assert {m.recipient: m.recipient_incarnation for m in carry_out_heartbeat(raft)} == {"b": 2, "c": 0}
    other = uninitialized("b", incarnation=2)
    receive_from(other, "a", AppendEntries(0, 0, (), 0, 0), incarnation=7, term=1, to=2)
    (message,) = carry_out(other).messages
    assert (message.sender_incarnation, message.recipient_incarnation) == (2, 7)


def carry_out_heartbeat(raft):
    raft.tick(raft.next_timeout())
    return carry_out(raft).early_messages


def test_progress_of_previous_incarnation_is_discarded():
    """§5.3: its matchIndex was that of a lost log."""
    raft = lead(configuration("abc"))
    assert raft.progress["c"].match_index == 1
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert raft.role is Role.LEADER
    assert raft.configuration == configuration("abc")  # by then b is unresponsive, too, so there is no quorum
    receive_from(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert (raft.progress["c"].match_index, raft.progress["c"].incarnation) == (0, 5)


# --- new incarnations join again --------------------------------------------------------------------------------------


def leader_with_c_unresponsive():
    """Return the leader a, to which b has just replied, and c has not for a second."""
    raft = lead(configuration("abc"))
    receive_from(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    return raft


def test_voter_that_lost_its_disk_becomes_a_learner_to_promote():
    """§4.2.1: its vote is removed by joint consensus, and given back when it has caught up."""
    raft = leader_with_c_unresponsive()
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    joint = replace(
        configuration("ab", learners="c", to_promote="c", incarnations={"c": 5}),
        outgoing=configuration("abc").voters,
    )
    assert raft.configuration == joint
    carry_out(raft)
    receive_from(raft, "c", AppendEntriesReply(True, match_index=2), incarnation=5, now=1.0)
    assert raft.commit_index == 1  # a and b of C_old must agree: its c does not exist any more
    receive_from(raft, "b", AppendEntriesReply(True, match_index=2), now=1.0)
    assert raft.configuration == replace(joint, outgoing=())


@pytest.mark.parametrize(("to_promote", "promoted"), [("", ()), ("d", ("d",))])
def test_learner_that_lost_its_disk_stays_a_learner(to_promote, promoted):
    """§4.2.1: in one step, since it has no vote; `to_promote` is kept."""
    raft = lead(configuration("abc", learners="d", to_promote=to_promote), unresponsive="d")
    for voter in "bc":
        receive_from(raft, voter, AppendEntriesReply(True, match_index=1), now=1.0)
    discovery(raft, "d", incarnation=5, to=0, now=1.0)
    assert raft.configuration == configuration("abc", learners="d", to_promote=promoted, incarnations={"d": 5})


def test_stale_discovery_does_not_replace_a_live_incarnation():
    """§4.2.1: the incarnation in the configuration has just replied, so the other one is older."""
    raft = lead(configuration("abc", incarnations={"c": 5}), unresponsive="c")
    receive_from(raft, "b", AppendEntriesReply(True, match_index=1), now=1.0)
    receive_from(raft, "c", AppendEntriesReply(True, match_index=1), incarnation=5, now=1.0)
    discovery(raft, "c", incarnation=4, is_reply=False, now=1.0)
    assert raft.configuration == configuration("abc", incarnations={"c": 5})


def test_discovery_of_known_incarnation_changes_nothing():
    """§4.2.1: it is a member already."""
    raft = leader_with_c_unresponsive()
    discovery(raft, "c", incarnation=0, to=0, now=1.0)
    discovery(raft, "z", incarnation=9, to=0, now=1.0)
    assert raft.configuration == configuration("abc")


def test_replacement_waits_for_the_change_in_progress():
    """§6: one change at a time; the node sends its discovery again."""
    raft = lead(configuration("abcd"))
    for voter in "bd":
        receive_from(raft, voter, AppendEntriesReply(True, match_index=1), now=1.0)
    raft.change_members(Remove("d"), 1.0)
    under_way = raft.configuration
    discovery(raft, "c", incarnation=5, to=0, now=1.0)
    assert raft.configuration == under_way


def test_one_of_two_voters_that_lost_its_disk_cannot_be_replaced():
    """§4.3: C_old needs both, and one of them does not exist any more: the change could never be committed."""
    raft = lead(configuration("ab"))
    discovery(raft, "b", incarnation=5, to=0, now=1.0)
    assert raft.configuration == configuration("ab")


@pytest.mark.parametrize("config", [BOTH, CONFIG], ids=["all extensions", "section 5 only"])
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_wiped_node_becomes_a_voter_again(which, config):
    """§4.2.1, §4.4: without a command, and with the same log as the others."""
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


def test_wiped_node_joins_again_after_its_configuration_was_truncated():
    """§6, §4.2.1: the leader that made it a learner crashes before any other voter has that configuration, which is
    then truncated. The wiped node has it, with an incarnation that no other node uses."""
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


def test_non_voter_without_leader_sends_discoveries():
    """§4.2.1: the others may know it by another incarnation than its own log does."""
    raft = follower(node_id="d", configuration=configuration("abc", learners="d"), term=3)
    raft.tick(raft.next_timeout())
    greetings = [(message.recipient, type(message.body)) for message in carry_out(raft).messages]
    assert greetings == [("a", Discovery), ("b", Discovery), ("c", Discovery)]


def test_node_without_configuration_reports_no_lost_leader():
    """§4.4: other nodes would look for the cluster there."""
    raft = uninitialized("b")
    receive_from(raft, "a", AppendEntries(0, 0, (), 0, 0), incarnation=1, term=2, to=1)
    assert raft.leader == "a"
    raft.tick(raft.next_timeout())
    assert raft.leader is None
