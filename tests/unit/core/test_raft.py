"""Raft's own checks, and its determinism."""

from random import Random

import pytest

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.errors import InvariantError
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, Role
from tests.support.core import CONFIG, carry_out, leader, log_of, receive


def test_non_voter_never_campaigns():
    """§6: a node need not be a voter."""
    raft = Raft("d", Configuration.of(*"abc"), config=CONFIG, random=Random(0), now=0.0)
    for _ in range(3):
        raft.tick(raft.next_timeout())
    assert carry_out(raft).messages == []
    assert (raft.role, raft.current_term, raft.voters) == (Role.FOLLOWER, 0, ("a", "b", "c"))


def test_gap_in_entries_is_rejected():
    with pytest.raises(ValueError, match="expected index 1 in the log, found 2"):
        Raft("a", Configuration.of(*"abc"), config=CONFIG, random=Random(0), now=0.0, entries=log_of(1, 1)[1:])


def test_same_calls_have_same_results():
    """The core uses no clock, and no random numbers but those of its generator."""

    def run():
        raft = leader([1, 1], voters="abcde", seed=7)
        raft.propose(b"x")
        raft.tick(raft.next_timeout())
        return carry_out(raft), raft.next_timeout()

    assert run() == run()


def test_early_tick_does_nothing():
    raft = leader()
    carry_out(raft)
    raft.tick(raft.next_timeout() - 0.001)
    assert carry_out(raft).early_messages == []


def test_leader_without_its_own_entries_raises():
    """It cannot happen; if it does, continuing would spread the damage."""
    raft = leader([1, 1, 1])
    raft.log.truncate_from(1)
    raft.log.append(Entry(1, 1, EntryKind.NOOP, b""))
    raft.tick(raft.next_timeout())
    with pytest.raises(InvariantError, match="a leads and lacks entry 3 of its own log"):
        raft.take_ready()


def test_unknown_body_is_ignored():
    """The codec rejects it before; the core neither fails nor replies."""
    raft = leader()
    carry_out(raft)
    receive(raft, "b", "a body that this version does not know")
    receive(raft, "b", "a body that this version does not know", term=0)
    ready = carry_out(raft)
    assert ready.messages == ready.early_messages == []
