"""Dissertation §10.2: pipelining, batching, and their limits."""

from dataclasses import replace

from raft_pkg.core.messages import AppendEntries
from tests.support.core import CONFIG, acknowledge, carry_out, replies
from tests.support.members import configuration, lead, reject

ABC = configuration("abc")


def sent_to(ready, follower):
    """Return the indexes of the entries in each append to a follower."""
    bodies = [m.body for m in ready.early_messages if m.recipient == follower and isinstance(m.body, AppendEntries)]
    return [[entry.index for entry in body.entries] for body in bodies]


def test_appends_in_flight_are_limited_per_follower():
    """§10.2.1.3: a slow follower gets no more appends; the others do."""
    raft = lead(ABC, config=replace(CONFIG, appends_in_flight_max=2))
    outputs = []
    for _ in range(4):
        raft.propose(b"x")
        outputs.append(carry_out(raft))
        acknowledge(raft, "b")
    assert [sent_to(ready, "b") for ready in outputs] == [[[2]], [[3]], [[4]], [[5]]]
    assert [sent_to(ready, "c") for ready in outputs] == [[[2]], [[3]], [], []]


def test_waiting_entries_share_one_append():
    """§10.2.2, batching."""
    raft = lead(ABC, config=replace(CONFIG, appends_in_flight_max=1))
    for _ in range(4):
        raft.propose(b"x")
        carry_out(raft)
    acknowledge(raft, "c", up_to=2)
    assert sent_to(carry_out(raft), "c") == [[3, 4, 5]]


def test_append_is_limited_in_bytes():
    """§10.2.2: an entry of any size is sent alone."""
    raft = lead(ABC, config=replace(CONFIG, append_bytes_max=4))
    for size in (1, 3, 9, 1):
        raft.propose(b"x" * size)
    assert sent_to(carry_out(raft), "b") == [[2, 3], [4], [5]]


def test_appends_to_learners_are_limited():
    """§10.2, §4.2.1."""
    raft = lead(configuration("abc", learners="d"), config=replace(CONFIG, appends_in_flight_max=1))
    for _ in range(3):
        raft.propose(b"x")
        carry_out(raft)
    assert list(raft.progress["d"].in_flight) == [2]


def test_probing_leader_does_not_pipeline():
    """§10.2.1: the follower might reject all further appends."""
    raft = lead(ABC, terms=[1] * 5, config=replace(CONFIG, append_bytes_max=1), unresponsive="c")
    assert raft.progress["c"].probing
    raft.propose(b"x")
    assert sent_to(carry_out(raft), "c") == []
    reject(raft, "c", 5, 1)
    assert sent_to(carry_out(raft), "c") == [[1]]
    acknowledge(raft, "c", up_to=1)
    assert sent_to(carry_out(raft), "c") == [[2], [3], [4], [5], [6, 7]]


def test_one_round_of_heartbeats_for_any_number_of_reads():
    """§6.4, §10.2.2: at most one round is in progress."""
    raft = lead(ABC)
    rounds = set()
    for _ in range(10):
        raft.read_index()
        rounds |= {body.read_round for body in replies(carry_out(raft), AppendEntries)}
    assert rounds == {1}
    acknowledge(raft, "b", read_round=1)
    assert {body.read_round for body in replies(carry_out(raft), AppendEntries)} == {2}
