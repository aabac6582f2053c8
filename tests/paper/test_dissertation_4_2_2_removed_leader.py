"""Dissertation §4.2.2: a leader that is being removed may be needed until C_new is committed."""

from random import Random

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import AppendEntries, PreVote, RequestVote
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, HardState, Role
from tests.support.core import CONFIG, carry_out, receive, replies

A, B = Member("a"), Member("b")
C_OLD = Entry(1, 1, EntryKind.CONFIGURATION, Configuration((A, B)).encode())
C_OLD_NEW = Entry(2, 2, EntryKind.CONFIGURATION, Configuration((B,), outgoing=(A, B)).encode())
C_NEW = Entry(3, 2, EntryKind.CONFIGURATION, Configuration((B,)).encode())


def start(node_id, *entries):
    """Return a node that starts in term 2 with this log, and does not know the commit index."""
    return Raft(
        node_id,
        Configuration(),
        config=CONFIG,
        random=Random(node_id),
        now=0.0,
        hard_state=HardState(2, "a"),
        entries=entries,
    )


def exchange(*nodes):
    """Deliver all messages of these nodes until none is left."""
    for _ in range(100):
        outputs = [carry_out(raft) for raft in nodes]
        messages = [message for ready in outputs for message in (*ready.early_messages, *ready.messages)]
        if not messages:
            return
        for message in messages:
            for raft in nodes:
                raft.receive(message, 0.0)
    raise AssertionError("the nodes do not stop to talk")


def test_restarted_leader_completes_its_removal_from_two_voters():
    """Figure 4.6: b uses C_old,new and needs the vote of a, whose log is longer. So a must lead once more: it counts
    only b's vote, commits C_new, and steps down."""
    leaving, staying = start("a", C_OLD, C_OLD_NEW, C_NEW), start("b", C_OLD, C_OLD_NEW)
    staying.tick(staying.next_timeout())
    exchange(leaving, staying)
    assert staying.role is not Role.LEADER

    leaving.tick(leaving.next_timeout())
    exchange(leaving, staying)
    assert (leaving.role, staying.role) == (Role.FOLLOWER, Role.LEADER)
    assert staying.voters == ("b",)
    assert staying.commit_index == staying.log.last_index > C_NEW.index


def test_removed_server_does_not_campaign_once_c_new_is_committed():
    """§4.2.2: it is no longer needed."""
    left = start("a", C_OLD, C_OLD_NEW, C_NEW)
    receive(left, "b", AppendEntries(3, 2, (), 3, 0))
    carry_out(left)
    left.tick(left.next_timeout())
    ready = carry_out(left)
    assert replies(ready, RequestVote) == replies(ready, PreVote) == []
    assert (left.role, left.current_term) == (Role.FOLLOWER, 2)
