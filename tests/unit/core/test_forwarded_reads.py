"""ForwardedReads: a follower's reads, from the caller to the leader and back."""

from raft_pkg.core.reads import ForwardedReads


def asked(*numbers, now=0.0):
    """Reads that a question was sent for; returns them with the question's number."""
    reads = ForwardedReads()
    for number in numbers:
        reads.add(number)
    return reads, reads.begin_request(now)


def test_there_is_nothing_to_ask_without_reads():
    assert ForwardedReads().begin_request(0.0) is None
    reads, question = asked(1, 2)
    assert question is not None
    assert reads.begin_request(1.0) is None


def test_an_answer_serves_the_reads_of_its_question_when_the_index_is_committed():
    reads, question = asked(1, 2)
    assert reads.handle_reply(question, 7) == []
    assert reads.take_committed(6) == []
    assert reads.take_committed(7) == [(1, 7), (2, 7)]
    assert reads.take_committed(8) == []


def test_answers_may_come_in_any_order():
    reads, first = asked(1)
    reads.add(2)
    second = reads.begin_request(0.0)
    reads.handle_reply(second, 9)
    reads.handle_reply(first, 5)
    assert reads.take_committed(5) == [(1, 5)]
    assert reads.take_committed(20) == [(2, 9)]


def test_index_0_gives_the_reads_back():
    reads, question = asked(1, 2)
    assert reads.handle_reply(question, 0) == [1, 2]
    assert reads.handle_reply(question, 5) == []
    assert reads.take_committed(99) == []


def test_an_answer_that_nobody_waits_for_is_passed_over():
    reads = ForwardedReads()
    assert reads.handle_reply(3, 7) == []
    assert reads.take_committed(99) == []


def test_questions_expire_by_when_they_were_sent():
    reads, _ = asked(1, 2, now=1.0)
    reads.add(3)
    later = reads.begin_request(2.0)
    reads.add(4)
    assert reads.expire(1.0) == []
    assert reads.expire(2.0) == [1, 2]
    assert reads.expire(2.0) == []
    reads.handle_reply(later, 5)
    assert reads.take_committed(5) == [(3, 5)]


def test_clearing_gives_up_what_has_no_answer():
    reads, question = asked(1)
    reads.handle_reply(question, 5)
    reads.add(2)
    reads.begin_request(0.0)
    reads.add(3)
    assert reads.fail_unanswered() == [2, 3]
    assert reads.fail_unanswered() == []
    assert reads.begin_request(0.0) is None
    assert reads.take_committed(5) == [(1, 5)]
