"""ForwardedReads: a follower's reads, from the caller to the leader and back."""

from raft_pkg.core.reads import ForwardedReads


def asked(*numbers, now=0.0):
    """Reads that a question was sent for; returns them with the question's number."""
    reads = ForwardedReads()
    for number in numbers:
        reads.add(number)
    return reads, reads.ask(now)


def test_there_is_nothing_to_ask_without_reads():
    assert ForwardedReads().ask(0.0) is None
    reads, question = asked(1, 2)
    assert question is not None
    assert reads.ask(1.0) is None


def test_an_answer_serves_the_reads_of_its_question_when_the_index_is_committed():
    reads, question = asked(1, 2)
    assert reads.answered(question, 7) == []
    assert reads.committed(6) == []
    assert reads.committed(7) == [(1, 7), (2, 7)]
    assert reads.committed(8) == []


def test_answers_may_come_in_any_order():
    reads, first = asked(1)
    reads.add(2)
    second = reads.ask(0.0)
    reads.answered(second, 9)
    reads.answered(first, 5)
    assert reads.committed(5) == [(1, 5)]
    assert reads.committed(20) == [(2, 9)]


def test_index_0_gives_the_reads_back():
    reads, question = asked(1, 2)
    assert reads.answered(question, 0) == [1, 2]
    assert reads.answered(question, 5) == []
    assert reads.committed(99) == []


def test_an_answer_that_nobody_waits_for_is_passed_over():
    reads = ForwardedReads()
    assert reads.answered(3, 7) == []
    assert reads.committed(99) == []


def test_questions_expire_by_when_they_were_sent():
    reads, _ = asked(1, 2, now=1.0)
    reads.add(3)
    later = reads.ask(2.0)
    reads.add(4)
    assert reads.expired(1.0) == []
    assert reads.expired(2.0) == [1, 2]
    assert reads.expired(2.0) == []
    reads.answered(later, 5)
    assert reads.committed(5) == [(3, 5)]


def test_clearing_gives_up_what_has_no_answer():
    reads, question = asked(1)
    reads.answered(question, 5)
    reads.add(2)
    reads.ask(0.0)
    reads.add(3)
    assert reads.clear() == [2, 3]
    assert reads.clear() == []
    assert reads.ask(0.0) is None
    assert reads.committed(5) == [(1, 5)]
