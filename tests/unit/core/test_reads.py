"""ReadQueue: reads wait, share a round, and go when a quorum has answered it."""

from raft_pkg.core.reads import ReadQueue


def test_numbers_are_never_given_twice():
    reads = ReadQueue()
    numbers = [reads.add() for _ in range(3)]
    reads.clear()
    assert len({*numbers, reads.add()}) == 4


def test_without_reads_no_round_begins():
    reads = ReadQueue()
    assert not reads.begin_round(5)
    assert reads.round == 0
    assert reads.confirmed(0) == []


def test_a_round_serves_what_came_before_it_at_the_commit_index_of_its_beginning():
    reads = ReadQueue()
    first, second = reads.add(), reads.add()
    assert reads.begin_round(5)
    late = reads.add()
    assert reads.confirmed(0) == []
    assert reads.confirmed(1) == [(first, 5), (second, 5)]
    assert reads.begin_round(8)
    assert reads.confirmed(1) == []
    assert reads.confirmed(2) == [(late, 8)]


def test_one_round_at_a_time():
    reads = ReadQueue()
    reads.add()
    assert reads.begin_round(1)
    reads.add()
    assert not reads.begin_round(1)
    assert reads.round == 1


def test_a_round_is_confirmed_once():
    reads = ReadQueue()
    reads.add()
    reads.begin_round(1)
    assert reads.confirmed(1)
    assert reads.confirmed(1) == []


def test_clearing_gives_up_all():
    reads = ReadQueue()
    under_way = reads.add()
    reads.begin_round(1)
    waiting = reads.add()
    assert reads.clear() == [under_way, waiting]
    assert reads.confirmed(1) == []
    assert not reads.begin_round(1)
