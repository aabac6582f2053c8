"""etcd's log messages become events of the log contract, and only when they are durable."""

import io
import json

import pytest

from raft_pkg.events import EventLog
from systems.etcd import etcd_log_events
from systems.etcd.etcd_log_events import BecameFollower, BecameLeader, LeaderKnown, LeaderLost, LogRecovered
from systems.etcd.leadership import LeadershipTracker

# Lines of etcd 3.4 and 3.5, whose Raft is the same library.
MESSAGES = [
    ("newRaft 8df2 [peers: [], term: 7, commit: 30, applied: 0, lastindex: 31, lastterm: 7]", LogRecovered(7, 31)),
    ("8df2 became leader at term 2", BecameLeader(2)),
    ("raft.node: 8df2 elected leader 4e47 at term 2", LeaderKnown(2, "4e47")),
    ("raft.node: 8df2 changed leader from 1781 to 4e47 at term 12", LeaderKnown(12, "4e47")),
    ("8df2 [term: 2] received a MsgHeartbeat message with higher term from 4e47 [term: 3]", LeaderKnown(3, "4e47")),
    ("8df2 [term: 2] received a MsgApp message with higher term from 4e47 [term: 3]", LeaderKnown(3, "4e47")),
    ("raft.node: 8df2 lost leader 4e47 at term 3", LeaderLost()),
    ("8df2 became follower at term 3", BecameFollower()),
    ("8df2 became candidate at term 3", None),
    ("8df2 [term: 2] received a MsgVote message with higher term from 4e47 [term: 3]", None),
    ("8df2 received MsgVoteResp from 4e47 at term 3", None),
    ("published local member to cluster through raft", None),
]


@pytest.mark.parametrize(("message", "event"), MESSAGES, ids=[message for message, _ in MESSAGES])
def test_parses_the_log_messages_of_etcd(message, event):
    assert etcd_log_events.parse(message) == event


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def tracker(stream):
    return LeadershipTracker("raft-0", {"a": "raft-0", "b": "raft-1"}, EventLog("raft-0", stream))


def logged(stream):
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [(line["event"], line["term"], line.get("leader")) for line in lines]


def test_a_leader_is_logged_at_once_and_only_once(tracker, stream):
    for event in (LogRecovered(1, 5), BecameLeader(2), LeaderKnown(2, "a")):
        tracker.handle(event)
    assert logged(stream) == [
        ("log_recovered", 1, None),
        ("became_leader", 2, None),
        ("leader_changed", 2, "raft-0"),
    ]


def test_a_followers_term_is_logged_only_after_an_entry_of_it_was_applied(tracker, stream):
    tracker.handle(LogRecovered(1, 5))
    tracker.handle(LeaderKnown(2, "b"))
    tracker.confirm_applied(1)
    assert logged(stream) == [("log_recovered", 1, None)]
    assert tracker.is_unconfirmed
    assert (tracker.term, tracker.leader) == (1, None)
    tracker.confirm_applied(2)
    assert logged(stream)[1:] == [("leader_changed", 2, "raft-1")]
    assert not tracker.is_unconfirmed
    assert (tracker.term, tracker.leader) == (2, "raft-1")


def test_a_term_that_was_read_from_disk_is_durable(tracker, stream):
    """A node that restarts in an idle cluster may receive no entry for a long time."""
    tracker.handle(LogRecovered(4, 9))
    tracker.handle(LeaderKnown(4, "b"))
    assert logged(stream)[1:] == [("leader_changed", 4, "raft-1")]


def test_an_unconfirmed_leader_that_is_lost_is_never_logged(tracker, stream):
    for event in (LogRecovered(1, 5), LeaderKnown(2, "b"), LeaderLost()):
        tracker.handle(event)
    tracker.confirm_applied(2)
    assert logged(stream) == [("log_recovered", 1, None)]


def test_stepping_down_clears_the_leader(tracker, stream):
    for event in (LogRecovered(1, 5), BecameLeader(2), BecameFollower(), LeaderLost()):
        tracker.handle(event)
    assert logged(stream)[3:] == [("became_follower", 2, None), ("leader_changed", 2, None)]
    assert tracker.leader is None
