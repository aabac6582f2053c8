"""What etcd's log says becomes events, and none of them could be denied after a crash."""

import io
import json

import pytest

from raft_pkg.events import EventLog
from systems.etcd import etcd_log_events
from systems.etcd.etcd_log_events import BecameFollower, Follows, LeaderLost, Leads, Recovered
from systems.etcd.witness import Witness

# Lines of etcd 3.4 and 3.5, whose Raft is the same library.
SAID = [
    ("newRaft 8df2 [peers: [], term: 7, commit: 30, applied: 0, lastindex: 31, lastterm: 7]", Recovered(7, 31)),
    ("8df2 became leader at term 2", Leads(2)),
    ("raft.node: 8df2 elected leader 4e47 at term 2", Follows(2, "4e47")),
    ("raft.node: 8df2 changed leader from 1781 to 4e47 at term 12", Follows(12, "4e47")),
    ("8df2 [term: 2] received a MsgHeartbeat message with higher term from 4e47 [term: 3]", Follows(3, "4e47")),
    ("8df2 [term: 2] received a MsgApp message with higher term from 4e47 [term: 3]", Follows(3, "4e47")),
    ("raft.node: 8df2 lost leader 4e47 at term 3", LeaderLost()),
    ("8df2 became follower at term 3", BecameFollower()),
    ("8df2 became candidate at term 3", None),
    ("8df2 [term: 2] received a MsgVote message with higher term from 4e47 [term: 3]", None),
    ("8df2 received MsgVoteResp from 4e47 at term 3", None),
    ("published local member to cluster through raft", None),
]


@pytest.mark.parametrize(("message", "word"), SAID, ids=[message for message, _ in SAID])
def test_a_line_of_etcds_log_is_understood(message, word):
    assert etcd_log_events.parse(message) == word


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def witness(stream):
    return Witness("raft-0", {"a": "raft-0", "b": "raft-1"}, EventLog("raft-0", stream))


def told(stream):
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [(line["event"], line["term"], line.get("leader")) for line in lines]


def test_a_leader_says_so_at_once_and_once(witness, stream):
    for word in (Recovered(1, 5), Leads(2), Follows(2, "a")):
        witness.hear(word)
    assert told(stream) == [
        ("log_recovered", 1, None),
        ("became_leader", 2, None),
        ("leader_changed", 2, "raft-0"),
    ]


def test_a_followers_term_is_not_told_before_an_entry_of_it_was_applied(witness, stream):
    witness.hear(Recovered(1, 5))
    witness.hear(Follows(2, "b"))
    witness.applied(1)
    assert told(stream) == [("log_recovered", 1, None)]
    assert witness.is_waiting
    assert (witness.term, witness.leader) == (1, None)
    witness.applied(2)
    assert told(stream)[1:] == [("leader_changed", 2, "raft-1")]
    assert not witness.is_waiting
    assert (witness.term, witness.leader) == (2, "raft-1")


def test_a_term_that_was_on_the_disk_is_certain(witness, stream):
    """A node that restarts in a calm cluster may get no entry for long."""
    witness.hear(Recovered(4, 9))
    witness.hear(Follows(4, "b"))
    assert told(stream)[1:] == [("leader_changed", 4, "raft-1")]


def test_what_was_heard_of_a_leader_that_is_lost_again_is_not_told_later(witness, stream):
    for word in (Recovered(1, 5), Follows(2, "b"), LeaderLost()):
        witness.hear(word)
    witness.applied(2)
    assert told(stream) == [("log_recovered", 1, None)]


def test_who_steps_down_leads_no_more(witness, stream):
    for word in (Recovered(1, 5), Leads(2), BecameFollower(), LeaderLost()):
        witness.hear(word)
    assert told(stream)[3:] == [("became_follower", 2, None), ("leader_changed", 2, None)]
    assert witness.leader is None
