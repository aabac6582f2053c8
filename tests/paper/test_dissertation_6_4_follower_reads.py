"""Dissertation §6.4: reads that a follower answers, by asking the leader how far it must see (ReadIndex)."""

import pytest

from raft_pkg.core.errors import NotLeaderError
from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, Message, ReadIndex, ReadIndexReply
from raft_pkg.core.types import Role
from tests.support.changing import ChangingCluster
from tests.support.core import CONFIG, acknowledge, append, carry_out, follower, log_of, receive, replies
from tests.support.members import configuration, lead

ABC = configuration("abc")


def following():
    """A follower of b, with an entry that is committed."""
    raft = follower([1], term=1)
    append(raft, "b", (1, 1), commit=1)
    return raft


def ask(raft):
    """A read is asked of a follower; returns its number and the question that leaves."""
    number = raft.read_index(any_node=True)
    (question,) = replies(carry_out(raft), ReadIndex)
    return number, question


# --- the follower's side ----------------------------------------------------------------------------------------------


def test_a_follower_asks_its_leader_how_far_it_must_see():
    """§6.4: the leader does steps 1 to 3 for it, and answers with its readIndex."""
    raft = following()
    raft.read_index(any_node=True)
    (message,) = carry_out(raft).early_messages
    assert (message.recipient, type(message.body)) == ("b", ReadIndex)


def test_it_answers_once_it_has_that_index():
    """§6.4: steps 4 and 5 are the follower's: it waits for its own state machine to be that far."""
    raft = following()
    number, question = ask(raft)
    receive(raft, "b", ReadIndexReply(question.request_id, 3))
    assert carry_out(raft).reads == []
    receive(raft, "b", AppendEntries(1, 1, tuple(log_of(1, 1, 1, 1)[1:]), 2, 0))
    assert carry_out(raft).reads == []
    receive(raft, "b", AppendEntries(4, 1, (), 4, 0))
    ready = carry_out(raft)
    assert ready.reads == [(number, 3)]
    assert [entry.index for entry in ready.committed] == [3, 4]


def test_one_question_serves_all_reads_before_it():
    """§6.4: as one round does at the leader."""
    raft = following()
    numbers = [raft.read_index(any_node=True) for _ in range(5)]
    (question,) = replies(carry_out(raft), ReadIndex)
    receive(raft, "b", ReadIndexReply(question.request_id, 1))
    assert carry_out(raft).reads == [(number, 1) for number in numbers]


def test_a_read_that_comes_after_a_question_needs_another():
    """§6.4: what the leader says may be from before it."""
    raft = following()
    first, question = ask(raft)
    second, later = ask(raft)
    receive(raft, "b", ReadIndexReply(question.request_id, 1))
    assert carry_out(raft).reads == [(first, 1)]
    receive(raft, "b", ReadIndexReply(later.request_id, 1))
    assert carry_out(raft).reads == [(second, 1)]


def test_an_answer_counts_once():
    """§6.4 on a network that repeats messages."""
    raft = following()
    number, question = ask(raft)
    for _ in range(2):
        receive(raft, "b", ReadIndexReply(question.request_id, 1))
    assert carry_out(raft).reads == [(number, 1)]


def test_index_0_says_that_who_was_asked_does_not_lead():
    """§6.4: the read is over, and may be tried elsewhere."""
    raft = following()
    number, question = ask(raft)
    receive(raft, "b", ReadIndexReply(question.request_id, 0))
    assert carry_out(raft).failed_reads == [number]


def test_the_answer_of_somebody_else_is_passed_over():
    """§6.4: only the leader knows."""
    raft = following()
    number, question = ask(raft)
    receive(raft, "c", ReadIndexReply(question.request_id, 1))
    assert carry_out(raft).reads == []
    receive(raft, "b", ReadIndexReply(question.request_id, 1))
    assert carry_out(raft).reads == [(number, 1)]


def test_a_lost_question_expires():
    """§6.4 on a network that loses messages: after an election time-out, when the leader is heard again."""
    raft = following()
    number, _ = ask(raft)
    append(raft, "b", (1, 1), now=CONFIG.election_timeout_max)
    receive(raft, "b", AppendEntries(1, 1, (), 1, 0), now=CONFIG.election_timeout_max + 0.001)
    assert carry_out(raft).failed_reads == [number]


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(lambda raft: receive(raft, "c", AppendEntries(1, 1, (), 1, 0), term=2), id="another leader"),
        pytest.param(lambda raft: raft.tick(raft.next_timeout()), id="no leader"),
        pytest.param(lambda raft: receive(raft, "c", ReadIndex(1), term=2), id="a newer term"),
    ],
)
def test_a_change_of_leader_fails_the_reads(event):
    """§6.4: those that were asked for, and those that wait; nobody else can answer the question."""
    raft = following()
    asked, _ = ask(raft)
    waiting = raft.read_index(any_node=True)
    event(raft)
    assert sorted(carry_out(raft).failed_reads) == [asked, waiting]


def test_what_the_leader_has_said_outlives_it():
    """§6.4: that index was committed; who leads now does not matter."""
    raft = following()
    number, question = ask(raft)
    receive(raft, "b", ReadIndexReply(question.request_id, 2))
    receive(raft, "c", AppendEntries(1, 1, tuple(log_of(1, 1)[1:]), 2, 0), term=2)
    ready = carry_out(raft)
    assert (ready.reads, ready.failed_reads) == ([(number, 2)], [])


def test_who_hears_no_leader_gives_up_all_its_reads():
    """§6.4: the entries that a read must see may never come, as to a server that was removed or cut off."""
    raft = following()
    number, question = ask(raft)
    receive(raft, "b", ReadIndexReply(question.request_id, 3))
    carry_out(raft)
    raft.tick(raft.next_timeout())
    assert carry_out(raft).failed_reads == [number]
    append(raft, "b", (1, 1), log_of(1, 1, 1, 1)[1:], commit=4, term=raft.current_term)
    assert carry_out(raft).reads == []


def test_without_a_leader_there_is_nobody_to_ask():
    """§6.4."""
    raft = follower([1], term=1)
    with pytest.raises(NotLeaderError, match="unknown"):
        raft.read_index(any_node=True)


def test_a_follower_answers_no_read_that_is_meant_for_the_leader():
    """§6.4: unless the caller allows it."""
    with pytest.raises(NotLeaderError, match="the leader is b"):
        following().read_index()


def test_an_answer_to_a_former_life_answers_nothing():
    """§6.4 across a restart in the same term: what was known when the first question was asked may be older than the
    second read. Numbers of questions must not begin anew."""
    cluster = ChangingCluster("abc")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    restarted = next(node_id for node_id in "abc" if node_id != leader)
    cluster[restarted].read_index(any_node=True)
    cluster.carry_out(restarted)
    cluster.deliver_all(lambda message: not isinstance(message.body, ReadIndexReply))
    late = [message for message in cluster.network if isinstance(message.body, ReadIndexReply)]
    assert len(late) == 1
    cluster.network.clear()
    cluster.crash(restarted)
    cluster.start(restarted)
    cluster.run(CONFIG.heartbeat_interval)
    cluster.isolate(restarted)
    newer = cluster.propose(leader)
    cluster.run(0.1)
    number = cluster[restarted].read_index(any_node=True)
    cluster.carry_out(restarted)
    cluster.network += late
    cluster.deliver_all()
    assert cluster[leader].commit_index == newer.index
    assert cluster.members[restarted].served_reads.get(number, newer.index) == newer.index


# --- the leader's side ------------------------------------------------------------------------------------------------


def question(raft, sender, number, now=0.0):
    """A follower asks a leader."""
    receive(raft, sender, ReadIndex(number), now=now)


def test_the_leader_answers_when_a_majority_has_confirmed_it():
    """§6.4: steps 1 to 3, as for a read of its own."""
    raft = lead(ABC)
    question(raft, "b", 71)
    ready = carry_out(raft)
    assert replies(ready, ReadIndexReply) == []
    assert [body.read_round for body in replies(ready, AppendEntries)] == [1, 1]
    acknowledge(raft, "c", read_round=1)
    (message,) = carry_out(raft).messages
    assert (message.recipient, message.body) == ("b", ReadIndexReply(71, 1))


def test_one_round_serves_the_questions_of_all():
    """§6.4: and the leader's own reads."""
    raft = lead(ABC)
    question(raft, "b", 71)
    question(raft, "c", 71)
    own = raft.read_index()
    assert [body.read_round for body in replies(carry_out(raft), AppendEntries)] == [1, 1]
    acknowledge(raft, "c", read_round=1)
    ready = carry_out(raft)
    assert [(message.recipient, message.body.request_id) for message in ready.messages] == [("b", 71), ("c", 71)]
    assert ready.reads == [(own, 1)]


def test_no_answer_before_the_leader_has_committed_in_its_own_term():
    """§6.4, step 1."""
    raft = lead(ABC, terms=[1, 1], committed=False)
    question(raft, "b", 71)
    acknowledge(raft, "b", "c", up_to=2)
    assert replies(carry_out(raft), ReadIndexReply) == []
    acknowledge(raft, "b")
    carry_out(raft)
    acknowledge(raft, "b", read_round=1)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 3)]


def test_who_does_not_lead_says_so():
    """§6.4: index 0."""
    raft = following()
    question(raft, "c", 71)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 0)]


def test_a_question_of_an_older_term_is_answered_with_the_newer_one():
    """§5.1: who asks learns that its leader is of the past."""
    raft = lead(ABC)
    receive(raft, "b", ReadIndex(71), term=0)
    (message,) = carry_out(raft).messages
    assert (message.term, message.body) == (1, ReadIndexReply(71, 0))


def test_a_deposed_leader_tells_those_who_asked():
    """§6.4: the reads of callers here, and those of followers."""
    raft = lead(ABC)
    question(raft, "b", 71)
    own = raft.read_index()
    receive(raft, "c", AppendEntriesReply(False), term=9)
    ready = carry_out(raft)
    assert replies(ready, ReadIndexReply) == [ReadIndexReply(71, 0)]
    assert ready.failed_reads == [own]


def test_a_learner_may_ask():
    """§6.4, §4.2.1: it has the log, and need not have a vote."""
    raft = lead(configuration("abc", learners="d"))
    question(raft, "d", 71)
    carry_out(raft)
    acknowledge(raft, "b", read_round=1)
    assert replies(carry_out(raft), ReadIndexReply) == [ReadIndexReply(71, 1)]


def test_an_answer_to_who_leads_by_now_is_passed_over():
    """§6.4."""
    raft = lead(ABC)
    raft.receive(Message("b", "a", 1, ReadIndexReply(71, 9)), 0.0)
    assert carry_out(raft).reads == []


# --- a whole cluster --------------------------------------------------------------------------------------------------


def test_every_server_answers_reads_and_sees_what_was_written_before():
    """§6.4: what was acknowledged anywhere is seen everywhere."""
    cluster = ChangingCluster("abcde")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    written = cluster.propose(leader)
    cluster.run(0.1)
    for node_id in "abcde":
        number = cluster[node_id].read_index(any_node=True)
        cluster.carry_out(node_id)
        cluster.run(0.1)
        assert cluster.members[node_id].served_reads[number] >= written.index


def test_a_cut_off_leader_answers_no_follower():
    """§6.4: b and its leader are alone; the others have a newer one."""
    cluster = ChangingCluster("abcde")
    cluster.run(2.0)
    leader = cluster.leader.node_id
    companion, *others = (node_id for node_id in "abcde" if node_id != leader)
    cluster.isolate(leader, companion)
    number = cluster[companion].read_index(any_node=True)
    cluster.carry_out(companion)
    cluster.deliver_all()
    cluster.elect(others[0])
    cluster.deliver_all()
    cluster.propose(others[0], b"newer")
    cluster.run(0.2)
    assert cluster[leader].role is Role.LEADER
    assert number not in cluster.members[companion].served_reads
    cluster.heal()
    cluster.run(0.5)
    assert number not in cluster.members[companion].served_reads
    assert number in cluster.members[companion].failed_reads
