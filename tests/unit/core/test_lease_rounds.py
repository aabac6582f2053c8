"""ReadQueue's rounds as a lease sees them: when did the newest one begin that a quorum has answered?"""

from raft_pkg.core.reads import ReadQueue


def test_a_round_tells_once_when_it_began():
    reads = ReadQueue()
    reads.begin_lease_round(1.0)
    assert reads.round == 1
    assert reads.take_start_of(0) is None
    assert reads.take_start_of(1) == 1.0
    assert reads.take_start_of(1) is None


def test_of_several_the_newest_counts_and_the_others_are_forgotten():
    reads = ReadQueue()
    for now in (1.0, 2.0, 3.0):
        reads.begin_lease_round(now)
    assert reads.take_start_of(2) == 2.0
    assert reads.take_start_of(3) == 3.0
    assert not reads._begun_at


def test_a_round_of_reads_is_one_for_the_lease_too():
    reads = ReadQueue()
    reads.add(11)
    assert reads.begin_round(5, 1.0)
    assert reads.take_start_of(1) == 1.0
    assert reads.take_confirmed(1) == [(11, 5)]


def test_reads_that_wait_can_be_taken_out_and_those_under_way_can_not():
    reads = ReadQueue()
    reads.add(11)
    reads.begin_round(5, 1.0)
    reads.add(12)
    assert reads.take_waiting() == [12]
    assert reads.take_waiting() == []
    assert reads.fail_all() == [11]


def test_clearing_forgets_when_rounds_began_and_keeps_their_number():
    reads = ReadQueue()
    reads.begin_lease_round(1.0)
    reads.fail_all()
    assert reads.take_start_of(1) is None
    reads.begin_lease_round(2.0)
    assert reads.round == 2
