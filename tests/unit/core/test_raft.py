"""Raft's own checks: who may be a node, and what must never happen."""

from random import Random

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.errors import InvariantError
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, Role
from tests.support.core import CONFIG, carry_out, leader, log_of, receive


def test_a_node_that_is_no_voter_waits_and_stands_for_nothing():
    """§6: a node need not be among the voters; it counts for nothing, and disturbs nobody."""
    raft = Raft("d", Configuration.of(*"abc"), config=CONFIG, random=Random(0), now=0.0)
    for _ in range(3):
        raft.tick(raft.next_timeout())
    assert carry_out(raft).messages == []
    assert (raft.role, raft.current_term, raft.voters) == (Role.FOLLOWER, 0, ("a", "b", "c"))


def test_entries_with_a_gap_are_refused():
    with pytest.raises(ValueError, match="expected index 1 in the log, found 2"):
        Raft("a", Configuration.of(*"abc"), config=CONFIG, random=Random(0), now=0.0, entries=log_of(1, 1)[1:])


def test_the_same_calls_have_the_same_results():
    """Pure: no clock, no rng but the generator's."""

    def run():
        raft = leader([1, 1], voters="abcde", seed=7)
        raft.propose(b"x")
        raft.tick(raft.next_timeout())
        return carry_out(raft), raft.next_timeout()

    assert run() == run()


def test_a_tick_before_the_time_does_nothing():
    raft = leader()
    carry_out(raft)
    raft.tick(raft.next_timeout() - 0.001)
    assert carry_out(raft).early_messages == []


def test_a_leader_that_lacks_its_own_entries_stops():
    """It can't happen; if it does, going on would spread the damage."""
    raft = leader([1, 1, 1])
    raft.log.truncate_from(1)
    raft.log.append(Entry(1, 1, EntryKind.NOOP, b""))
    raft.tick(raft.next_timeout())
    with pytest.raises(InvariantError, match="a leads and lacks entry 3 of its own log"):
        raft.take_ready()


def test_a_body_of_another_version_is_passed_over():
    """The codec refuses it before; the core neither fails nor answers."""
    raft = leader()
    carry_out(raft)
    receive(raft, "b", "a body that this version does not know")
    receive(raft, "b", "a body that this version does not know", term=0)
    ready = carry_out(raft)
    assert ready.messages == ready.early_messages == []
