"""ReadQueue: a leader's reads share rounds of heartbeats, and are confirmed when a quorum has acknowledged them."""

from raft_pkg.core.reads import ReadQueue


def queue_of(*request_ids):
    """Return a queue with waiting reads."""
    reads = ReadQueue()
    for request_id in request_ids:
        reads.add(request_id)
    return reads


def test_no_round_begins_without_reads():
    reads = ReadQueue()
    assert not reads.begin_round(5, 0.0)
    assert reads.round == 0
    assert reads.take_confirmed(0) == []


def test_round_serves_earlier_reads_at_the_commit_index_of_its_start():
    reads = queue_of(1, 2)
    assert reads.begin_round(5, 0.0)
    reads.add(3)
    assert reads.take_confirmed(0) == []
    assert reads.take_confirmed(1) == [(1, 5), (2, 5)]
    assert reads.begin_round(8, 0.0)
    assert reads.take_confirmed(1) == []
    assert reads.take_confirmed(2) == [(3, 8)]


def test_only_one_round_is_in_progress():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    reads.add(2)
    assert not reads.begin_round(1, 0.0)
    assert reads.round == 1


def test_round_is_confirmed_once():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    assert reads.take_confirmed(1)
    assert reads.take_confirmed(1) == []


def test_fail_all_removes_waiting_reads_and_those_of_the_round():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    reads.add(2)
    assert reads.fail_all() == [1, 2]
    assert reads.take_confirmed(1) == []
    assert not reads.begin_round(1, 0.0)


# --- the lease (dissertation §6.4.1) ----------------------------------------------------------------------------------


def test_start_of_a_round_is_returned_once():
    reads = ReadQueue()
    reads.begin_lease_round(1.0)
    assert reads.round == 1
    assert reads.take_start_of(0) is None
    assert reads.take_start_of(1) == 1.0
    assert reads.take_start_of(1) is None


def test_start_of_the_newest_acknowledged_round_counts():
    reads = ReadQueue()
    for now in (1.0, 2.0, 3.0):
        reads.begin_lease_round(now)
    assert reads.take_start_of(0) is None
    assert reads.take_start_of(2) == 2.0
    assert reads.take_start_of(2) is None
    assert reads.take_start_of(1) is None, "a stale acknowledgement has no effect"
    assert reads.take_start_of(3) == 3.0
    assert not reads._begun_at


def test_round_of_reads_counts_for_the_lease():
    reads = queue_of(11)
    assert reads.begin_round(5, 7.0)
    assert reads.take_start_of(1) == 7.0
    assert reads.take_confirmed(1) == [(11, 5)]


def test_lease_serves_only_waiting_reads():
    reads = queue_of(1)
    reads.begin_round(5, 0.0)
    reads.add(2)
    assert reads.take_waiting() == [2]
    assert reads.take_waiting() == []
    assert reads.take_confirmed(1) == [(1, 5)]


def test_reads_of_the_round_remain_after_take_waiting():
    reads = queue_of(11)
    reads.begin_round(5, 1.0)
    reads.add(12)
    assert reads.take_waiting() == [12]
    assert reads.fail_all() == [11]


def test_fail_all_discards_starts_of_rounds_and_keeps_their_number():
    reads = ReadQueue()
    reads.begin_lease_round(1.0)
    reads.fail_all()
    assert reads.take_start_of(1) is None
    reads.begin_lease_round(2.0)
    assert reads.round == 2
