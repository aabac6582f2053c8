"""Dissertation §10.2: pipelining and batching, and what bounds them."""

from dataclasses import replace

from raft_pkg.core.messages import AppendEntries
from tests.support.core import CONFIG, acknowledge, carry_out, replies
from tests.support.members import configuration, lead, reject

ABC = configuration("abc")


def sent_to(ready, follower):
    """The indexes that each append to a follower carries."""
    bodies = [m.body for m in ready.early_messages if m.recipient == follower and isinstance(m.body, AppendEntries)]
    return [[entry.index for entry in body.entries] for body in bodies]


def test_appends_to_each_follower_in_flight_are_bounded():
    """§10.2.1.3: a slow follower has so many unanswered appends and no more, and the others go on."""
    raft = lead(ABC, config=replace(CONFIG, appends_in_flight_max=2))
    outputs = []
    for _ in range(4):
        raft.propose(b"x")
        outputs.append(carry_out(raft))
        acknowledge(raft, "b")
    assert [sent_to(ready, "b") for ready in outputs] == [[[2]], [[3]], [[4]], [[5]]]
    assert [sent_to(ready, "c") for ready in outputs] == [[[2]], [[3]], [], []]


def test_what_waited_goes_in_one_append_when_there_is_room():
    """§10.2.2, batching: what has gathered meanwhile shares one message."""
    raft = lead(ABC, config=replace(CONFIG, appends_in_flight_max=1))
    for _ in range(4):
        raft.propose(b"x")
        carry_out(raft)
    acknowledge(raft, "c", up_to=2)
    assert sent_to(carry_out(raft), "c") == [[3, 4, 5]]


def test_an_append_takes_no_more_once_it_is_full():
    """§10.2.2: a limit of bytes; no entry is too large to go alone."""
    raft = lead(ABC, config=replace(CONFIG, append_bytes_max=4))
    for size in (1, 3, 9, 1):
        raft.propose(b"x" * size)
    assert sent_to(carry_out(raft), "b") == [[2, 3], [4], [5]]


def test_learners_are_bounded_alike():
    """§10.2, §4.2.1."""
    raft = lead(configuration("abc", learners="d"), config=replace(CONFIG, appends_in_flight_max=1))
    for _ in range(3):
        raft.propose(b"x")
        carry_out(raft)
    assert list(raft.progress["d"].in_flight) == [2]


def test_a_leader_that_does_not_know_where_the_logs_agree_sends_one_append_at_a_time():
    """§10.2.1: pipelining is for followers whose log is known; anything else would be thrown away."""
    raft = lead(ABC, terms=[1] * 5, config=replace(CONFIG, append_bytes_max=1), unresponsive="c")
    assert raft.progress["c"].probing
    raft.propose(b"x")
    assert sent_to(carry_out(raft), "c") == []
    reject(raft, "c", 5, 1)
    assert sent_to(carry_out(raft), "c") == [[1]]
    acknowledge(raft, "c", up_to=1)
    assert sent_to(carry_out(raft), "c") == [[2], [3], [4], [5], [6, 7]]


def test_reads_wait_in_one_row_however_many_there_are():
    """§6.4, §10.2.2: at most one round of heartbeats is under way for them."""
    raft = lead(ABC)
    rounds = set()
    for _ in range(10):
        raft.read_index()
        rounds |= {body.read_round for body in replies(carry_out(raft), AppendEntries)}
    assert rounds == {1}
    acknowledge(raft, "b", read_round=1)
    assert {body.read_round for body in replies(carry_out(raft), AppendEntries)} == {2}
