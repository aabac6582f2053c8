"""A leader's reads wait, share a round, and go when a quorum has answered; a follower's wait for the leader's word."""

from raft_pkg.core.reads import ForwardedReads, ReadQueue


def queue_of(*numbers):
    """A leader's reads that are not yet part of a round."""
    reads = ReadQueue()
    for number in numbers:
        reads.add(number)
    return reads


def test_without_reads_no_round_begins():
    reads = ReadQueue()
    assert not reads.begin_round(5, 0.0)
    assert reads.round == 0
    assert reads.take_confirmed(0) == []


def test_a_round_serves_what_came_before_it_at_the_commit_index_of_its_beginning():
    reads = queue_of(1, 2)
    assert reads.begin_round(5, 0.0)
    reads.add(3)
    assert reads.take_confirmed(0) == []
    assert reads.take_confirmed(1) == [(1, 5), (2, 5)]
    assert reads.begin_round(8, 0.0)
    assert reads.take_confirmed(1) == []
    assert reads.take_confirmed(2) == [(3, 8)]


def test_one_round_at_a_time():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    reads.add(2)
    assert not reads.begin_round(1, 0.0)
    assert reads.round == 1


def test_a_round_is_confirmed_once():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    assert reads.take_confirmed(1)
    assert reads.take_confirmed(1) == []


def test_clearing_gives_up_all():
    reads = queue_of(1)
    reads.begin_round(1, 0.0)
    reads.add(2)
    assert reads.fail_all() == [1, 2]
    assert reads.take_confirmed(1) == []
    assert not reads.begin_round(1, 0.0)


# --- the lease (dissertation §6.4.1) ----------------------------------------------------------------------------------


def test_a_lease_counts_from_the_beginning_of_the_newest_round_that_was_answered():
    reads = ReadQueue()
    for now in (1.0, 2.0, 3.0):
        reads.begin_lease_round(now)
    assert reads.take_start_of(0) is None
    assert reads.take_start_of(2) == 2.0
    assert reads.take_start_of(2) is None, "it is told once"
    assert reads.take_start_of(1) is None, "an old answer takes nothing back"
    assert reads.take_start_of(3) == 3.0


def test_a_round_for_reads_renews_the_lease_too():
    reads = queue_of(1)
    reads.begin_round(5, 7.0)
    assert reads.take_start_of(1) == 7.0


def test_a_round_of_another_leadership_gives_no_lease():
    reads = ReadQueue()
    reads.begin_lease_round(1.0)
    reads.fail_all()
    assert reads.take_start_of(1) is None


def test_the_lease_answers_what_waits_and_leaves_what_is_under_way():
    reads = queue_of(1)
    reads.begin_round(5, 0.0)
    reads.add(2)
    assert reads.take_waiting() == [2]
    assert reads.take_waiting() == []
    assert reads.take_confirmed(1) == [(1, 5)]


# --- a follower's reads -----------------------------------------------------------------------------------------------


def forwarded(*numbers):
    """A follower's reads that nobody was asked for yet."""
    reads = ForwardedReads()
    for number in numbers:
        reads.add(number)
    return reads


def test_one_question_serves_all_reads_that_came_before_it():
    reads = forwarded(1, 2)
    question = reads.begin_request(0.0)
    reads.add(3)
    assert reads.handle_reply(question, 7) == []
    assert reads.take_committed(6) == []
    assert reads.take_committed(7) == [(1, 7), (2, 7)]
    assert reads.take_committed(7) == []
    assert reads.begin_request(0.0) is not None
    assert reads.begin_request(0.0) is None


def test_reads_go_in_the_order_of_what_they_must_see():
    reads = forwarded(1)
    first = reads.begin_request(0.0)
    reads.add(2)
    second = reads.begin_request(0.0)
    reads.handle_reply(second, 9)
    reads.handle_reply(first, 4)
    assert reads.take_committed(4) == [(1, 4)]
    assert reads.take_committed(20) == [(2, 9)]


def test_a_node_that_does_not_lead_can_not_serve_them():
    reads = forwarded(1, 2)
    assert reads.handle_reply(reads.begin_request(0.0), 0) == [1, 2]
    assert reads.take_committed(100) == []


def test_an_answer_that_comes_twice_or_to_no_question_serves_nobody():
    reads = forwarded(1)
    question = reads.begin_request(0.0)
    reads.handle_reply(question, 3)
    assert reads.take_committed(3) == [(1, 3)]
    assert reads.handle_reply(question, 3) == reads.handle_reply(99, 3) == []
    assert reads.take_committed(3) == []


def test_a_question_that_was_not_answered_in_time_is_given_up():
    reads = forwarded(1)
    old = reads.begin_request(1.0)
    reads.add(2)
    reads.begin_request(2.0)
    assert reads.expire(1.0) == []
    assert reads.expire(2.0) == [1]
    assert reads.handle_reply(old, 5) == []
    assert reads.take_committed(5) == [], "its answer comes too late"


def test_another_leader_gives_up_what_has_no_answer_and_keeps_what_has():
    """The index was a true one when the read came; to see it is enough, whoever leads."""
    reads = forwarded(1)
    reads.handle_reply(reads.begin_request(0.0), 5)
    reads.add(2)
    reads.begin_request(0.0)
    reads.add(3)
    assert reads.fail_unanswered() == [2, 3]
    assert reads.take_committed(5) == [(1, 5)]
