"""ForwardedReads: reads that a follower forwards to its leader."""

from raft_pkg.core.reads import ForwardedReads


def requested(*request_ids, now=0.0):
    """Return reads for which a request was sent, and the id of the request."""
    reads = ForwardedReads()
    for request_id in request_ids:
        reads.add(request_id)
    return reads, reads.begin_request(now)


def test_request_is_sent_only_for_waiting_reads():
    assert ForwardedReads().begin_request(0.0) is None
    reads, request = requested(1, 2)
    assert request is not None
    assert reads.begin_request(1.0) is None


def test_request_serves_earlier_reads_when_the_index_is_committed():
    reads, request = requested(1, 2)
    reads.add(3)
    assert reads.handle_reply(request, 7) == []
    assert reads.take_committed(6) == []
    assert reads.take_committed(7) == [(1, 7), (2, 7)]
    assert reads.take_committed(7) == []
    assert reads.take_committed(8) == []
    assert reads.begin_request(0.0) is not None
    assert reads.begin_request(0.0) is None


def test_replies_may_arrive_in_any_order():
    reads, first = requested(1)
    reads.add(2)
    second = reads.begin_request(0.0)
    reads.handle_reply(second, 9)
    reads.handle_reply(first, 5)
    assert reads.take_committed(5) == [(1, 5)]
    assert reads.take_committed(20) == [(2, 9)]


def test_index_0_fails_the_reads():
    reads, request = requested(1, 2)
    assert reads.handle_reply(request, 0) == [1, 2]
    assert reads.handle_reply(request, 5) == []
    assert reads.take_committed(100) == []


def test_reply_without_request_is_ignored():
    reads = ForwardedReads()
    assert reads.handle_reply(3, 7) == []
    assert reads.take_committed(99) == []


def test_duplicate_reply_is_ignored():
    reads, request = requested(1)
    reads.handle_reply(request, 3)
    assert reads.take_committed(3) == [(1, 3)]
    assert reads.handle_reply(request, 3) == reads.handle_reply(99, 3) == []
    assert reads.take_committed(3) == []


def test_requests_expire_by_the_time_they_were_sent():
    reads, early = requested(1, 2, now=1.0)
    reads.add(3)
    later = reads.begin_request(2.0)
    reads.add(4)
    assert reads.expire(1.0) == []
    assert reads.expire(2.0) == [1, 2]
    assert reads.expire(2.0) == []
    assert reads.handle_reply(early, 5) == []
    assert reads.take_committed(5) == [], "the reply is too late"
    reads.handle_reply(later, 5)
    assert reads.take_committed(5) == [(3, 5)]


def test_fail_unanswered_keeps_reads_with_an_index():
    """The read index was valid when the read arrived, regardless of the current leader."""
    reads, request = requested(1)
    reads.handle_reply(request, 5)
    reads.add(2)
    reads.begin_request(0.0)
    reads.add(3)
    assert reads.fail_unanswered() == [2, 3]
    assert reads.fail_unanswered() == []
    assert reads.begin_request(0.0) is None
    assert reads.take_committed(5) == [(1, 5)]


def test_fail_all_fails_reads_with_an_index():
    reads, request = requested(1)
    reads.handle_reply(request, 5)
    reads.add(2)
    assert reads.fail_all() == [1, 2]
    assert reads.take_committed(5) == []
