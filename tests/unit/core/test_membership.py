"""Membership changes, the configuration log, and bootstrap peers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.core.bootstrap import LEADERS_MAX, BootstrapPeers
from raft_pkg.core.configuration import Configuration, Member, quorums_overlap
from raft_pkg.core.effective_configuration import ConfigurationLog
from raft_pkg.core.errors import ChangeRefusedError
from raft_pkg.core.membership import left_joint, promoted, removed, replaced, with_learner
from raft_pkg.core.messages import Discovery
from tests.support.members import configuration

# --- changes ----------------------------------------------------------------------------------------------------------


def test_learner_is_added_with_or_without_promotion():
    new = Member("d", "d:6000", 4)
    assert with_learner(configuration("abc"), new, promote=False).learners == (new,)
    added = with_learner(configuration("abc", learners="e", to_promote="e"), new, promote=True)
    assert added.to_promote == ("d", "e")
    assert not added.is_joint


def test_promotion_makes_a_joint_configuration():
    joint = promoted(configuration("abc", learners="de", to_promote="de"), "d")
    assert joint == configuration("abcd", learners="e", outgoing="abc", to_promote="e")
    assert left_joint(joint) == configuration("abcd", learners="e", to_promote="e")


def test_voter_is_removed_in_two_steps_and_learner_in_one():
    value = configuration("abc", learners="d", to_promote="d")
    assert removed(value, "c") == configuration("ab", learners="d", outgoing="abc", to_promote="d")
    assert removed(value, "d") == configuration("abc")


def test_last_voter_cannot_be_removed():
    with pytest.raises(ChangeRefusedError, match="a is the last voter; the cluster would be left without one"):
        removed(configuration("a", learners="b"), "a")


@given(st.data())
def test_quorums_of_adjacent_configurations_overlap(data):
    """§6: the reason for joint consensus."""
    value = configuration("abc")
    for incarnation in range(1, 12):
        node_id = data.draw(st.sampled_from("abcdef"))
        step = data.draw(st.sampled_from(["add", "promote", "remove", "replace"]))
        member = Member(node_id, f"{node_id}:6000", incarnation)
        try:
            if step == "add":
                after = with_learner(value, member, promote=data.draw(st.booleans()))
            elif step == "promote":
                after = promoted(value, node_id)
            elif step == "remove":
                after = removed(value, node_id)
            elif value.member(node_id) is not None:
                after = replaced(value, member)
            else:
                continue
        except ChangeRefusedError:
            continue
        if not after.voters:
            continue  # the last voter lost its disk
        assert quorums_overlap(value, after)
        assert quorums_overlap(after, left_joint(after))
        value = left_joint(after)
        assert Configuration.decode(value.encode()) == value


# --- configuration log ------------------------------------------------------------------------------------------------


def test_newest_configuration_is_effective():
    first, second, third = configuration("a"), configuration("ab"), configuration("abc")
    log = ConfigurationLog([(0, first)])
    assert (log.newest, log.newest_index) == (first, 0)
    log.append(4, second)
    log.append(7, third)
    assert (log.newest, log.newest_index) == (third, 7)
    assert [log.at(index) for index in (0, 3, 4, 6, 7, 99)] == [first, first, second, second, third, third]


def test_truncated_configuration_is_not_effective():
    log = ConfigurationLog([(0, configuration("a")), (4, configuration("ab")), (7, configuration("abc"))])
    assert not log.truncate_from(8)
    assert log.truncate_from(7)
    assert log.newest == configuration("ab")
    assert log.truncate_from(1)
    assert not log.truncate_from(1)
    assert (log.newest, log.newest_index) == (configuration("a"), 0)


def test_compaction_keeps_the_configuration_at_its_index():
    log = ConfigurationLog([(0, configuration("a")), (4, configuration("ab")), (7, configuration("abc"))])
    log.compact(3)
    assert log.at(3) == configuration("a")
    log.compact(6)
    assert log.at(6) == configuration("ab")
    log.compact(7)
    log.compact(99)
    assert (log.newest, log.newest_index) == (configuration("abc"), 7)
    assert not log.truncate_from(5)


# --- bootstrap peers --------------------------------------------------------------------------------------------------

PEERS = {"a": "a:6000", "b": "b:6000", "c": "c:6000"}


def reply(*, uninitialized=True, peers=("a", "b", "c"), leader="", is_reply=True):
    return Discovery(uninitialized, peers, "", is_reply, leader, f"{leader}:6000" if leader else "")


def test_all_peers_must_have_replied_that_they_are_uninitialized():
    bootstrap_peers = BootstrapPeers(PEERS)
    assert bootstrap_peers.initial_configuration("a", 1) is None
    bootstrap_peers.record("b", 2, reply())
    assert bootstrap_peers.initial_configuration("a", 1) is None
    bootstrap_peers.record("c", 3, reply())
    assert bootstrap_peers.initial_configuration("a", 1) == configuration("abc", incarnations={"a": 1, "b": 2, "c": 3})
    assert bootstrap_peers.initial_configuration("b", 2) is None


def test_newest_incarnation_of_each_peer_is_used():
    bootstrap_peers = BootstrapPeers(PEERS)
    for incarnation in (2, 5):
        bootstrap_peers.record("b", incarnation, reply())
    bootstrap_peers.record("c", 3, reply())
    assert bootstrap_peers.initial_configuration("a", 1).is_voter("b", 5)


@pytest.mark.parametrize(
    "discovery",
    [reply(uninitialized=False), reply(peers=("a", "b"))],
    ids=["no longer uninitialized", "other bootstrap peers"],
)
def test_later_reply_overrides_an_earlier_one(discovery):
    bootstrap_peers = BootstrapPeers(PEERS)
    bootstrap_peers.record("b", 2, reply())
    bootstrap_peers.record("c", 3, reply())
    bootstrap_peers.record("c", 3, discovery)
    assert bootstrap_peers.initial_configuration("a", 1) is None


def test_requests_and_non_members_do_not_count():
    bootstrap_peers = BootstrapPeers(PEERS)
    bootstrap_peers.record("b", 2, reply(is_reply=False))
    bootstrap_peers.record("c", 3, reply())
    for non_member in range(1000):
        bootstrap_peers.record(f"n{non_member}", 1, reply())
    assert bootstrap_peers.initial_configuration("a", 1) is None
    assert bootstrap_peers._uninitialized == {"c": 3}


def test_node_without_bootstrap_peers_does_not_bootstrap():
    assert BootstrapPeers({}).initial_configuration("a", 1) is None
    assert BootstrapPeers({"a": "a:6000"}).initial_configuration("a", 1) == configuration("a", incarnations={"a": 1})
    assert BootstrapPeers({"b": "b:6000"}).initial_configuration("a", 1) is None


def test_number_of_known_leaders_is_limited():
    bootstrap_peers = BootstrapPeers(PEERS)
    bootstrap_peers.record("b", 2, reply(uninitialized=False, leader="z"))
    assert bootstrap_peers.leaders == {"z": "z:6000"}
    for number in range(2 * LEADERS_MAX):
        bootstrap_peers.record("b", 2, reply(uninitialized=False, leader=f"n{number}"))
    assert len(bootstrap_peers.leaders) == LEADERS_MAX
