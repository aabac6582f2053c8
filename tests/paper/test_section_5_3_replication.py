"""§5.3, log replication: the logs of Figure 7, the fast back-up of nextIndex, pipelining and its limits."""

from dataclasses import replace

import pytest

from raft_pkg.core.messages import AppendEntries, AppendEntriesReply
from tests.support.cluster import Cluster
from tests.support.core import CONFIG, acknowledge, carry_out, leader, log_of, receive, replies, terms_of

LEADER_LOG = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


def pair(follower_log, leader_log):
    """Return a cluster of three in which "l" leads and "x" has the follower's log."""
    term = max(*follower_log, *leader_log)
    cluster = Cluster("lxy", logs={"l": leader_log, "x": follower_log, "y": leader_log}, term=term)
    cluster.isolate("x")
    cluster.elect("l")
    cluster.deliver_all()
    cluster.heal()
    return cluster


@pytest.mark.parametrize("name", FIGURE_7)
def test_figure_7_leader_repairs_each_log(name):
    """§5.3, Figure 7: followers may lack entries, have extra uncommitted entries, or both."""
    cluster = pair(FIGURE_7[name], LEADER_LOG)
    cluster.run(0.2)
    assert terms_of(cluster["x"]) == terms_of(cluster["l"])
    assert terms_of(cluster["x"])[: len(LEADER_LOG)] == list(LEADER_LOG)
    assert cluster.members["x"].applied == cluster.members["l"].applied == cluster["l"].log.slice(1, 100)


def test_figure_7_leader_repairs_all_logs():
    """§5.3, Figure 7: the leader of term 8 and its six followers."""
    cluster = Cluster("labcdef", logs={"l": LEADER_LOG, **FIGURE_7}, term=7)
    cluster.elect("l")
    assert cluster["l"].current_term == 8
    votes = {node_id for node_id in "abcdef" if cluster[node_id].voted_for == "l"}
    assert votes == {"a", "b", "e", "f"}, "c's and d's logs are more up to date (§5.4.1)"
    cluster.run(0.3)
    assert {tuple(terms_of(raft)) for raft in cluster.running} == {(*LEADER_LOG, cluster["l"].current_term)}


def round_trips(cluster):
    """Return how many appends the leader sends to "x" up to the first that "x" accepts."""
    leading, lagging = cluster["l"], cluster["x"]
    cluster.network.clear()
    leading.tick(leading.next_timeout())
    cluster.carry_out("l")
    for count in range(1, 1000):
        (request,) = [message for message in cluster.network if message.recipient == "x"]
        cluster.network.clear()
        lagging.receive(request, cluster.now)
        cluster.carry_out("x")
        (reply,) = cluster.network
        cluster.network.clear()
        leading.receive(reply, cluster.now)
        cluster.carry_out("l")
        if reply.body.success:
            return count
    raise AssertionError("the logs were not brought together")


def test_short_log_takes_one_round_trip():
    """§5.3: the rejection contains the last index of the log."""
    assert round_trips(pair((1,), (1,) * 500)) == 2


def test_conflicting_entries_of_one_term_take_one_round_trip():
    """§5.3: "one AppendEntries RPC will be required for each term with conflicting entries"."""
    assert round_trips(pair((1,) + (2,) * 500, (1,) + (3,) * 500)) == 2


def test_each_conflicting_term_takes_at_most_one_round_trip():
    """§5.3: five terms with a hundred entries each."""
    theirs = (1, *(term for term in (2, 4, 6, 8, 10) for _ in range(100)))
    ours = (1, *(term for term in (3, 5, 7, 9, 11) for _ in range(100)))
    assert round_trips(pair(theirs, ours)) <= 6


def test_leader_backs_up_to_its_own_last_entry_of_the_conflicting_term():
    """§5.3: entries of that term that match are not sent again."""
    cluster = pair((1,) + (4,) * 9, (1, 4, 4, 5, 5, 5, 5))
    assert round_trips(cluster) == 2
    assert cluster["l"].progress["x"].match_index == 8


def test_rejection_has_first_index_of_conflicting_term():
    """§5.3: "the term of the conflicting entry and the first index it stores for that term"."""
    cluster = Cluster("lxy", logs={"x": (1, 2, 2, 2, 3)})
    receive(cluster["x"], "l", AppendEntries(4, 3, (), 0, 0), term=4)
    (reply,) = replies(carry_out(cluster["x"]), AppendEntriesReply)
    assert reply == AppendEntriesReply(False, rejected_index=4, conflict_term=2, conflict_index=2)


def test_probing_leader_sends_one_append_at_a_time():
    """The leader does not know where the logs match, and waits for each reply."""
    raft = leader([1] * 5)
    for _ in range(3):
        raft.propose(b"x")
    assert carry_out(raft).early_messages == []
    acknowledge(raft, "b", up_to=6)
    (body,) = replies(carry_out(raft), AppendEntries)
    assert (body.prev_log_index, len(body.entries)) == (6, 3)


def test_appends_are_pipelined_once_the_logs_match():
    """Dissertation §10.2.1, pipelining: nextIndex runs ahead of the replies."""
    raft = leader()
    acknowledge(raft, "b", "c")
    for number in range(5):
        raft.propose(b"%d" % number)
        assert [body.prev_log_index for body in replies(carry_out(raft), AppendEntries)] == [number + 1] * 2


def test_appends_in_flight_are_limited():
    """Flow control: an unresponsive follower gets `appends_in_flight_max` appends, then only heartbeats."""
    raft = leader(config=replace(CONFIG, appends_in_flight_max=3))
    acknowledge(raft, "b")
    sent = 0
    for _ in range(10):
        raft.propose(b"x")
        sent += len(replies(carry_out(raft), AppendEntries))
    assert sent == 3
    raft.tick(raft.next_timeout())
    to_b = [message.body for message in carry_out(raft).early_messages if message.recipient == "b"]
    assert [(body.prev_log_index, body.entries) for body in to_b] == [(4, ())]
    acknowledge(raft, "b", up_to=3)
    assert [len(body.entries) for body in replies(carry_out(raft), AppendEntries)] == [7]


def test_append_is_limited_in_bytes_but_has_at_least_one_entry():
    """Flow control: entries are split into several appends; an entry above the limit is sent alone."""
    raft = leader(config=replace(CONFIG, append_bytes_max=10))
    acknowledge(raft, "b")
    carry_out(raft)
    for size in (4, 4, 4, 4, 100, 4):
        raft.propose(b"x" * size)
    sizes = [[len(entry.data) for entry in body.entries] for body in replies(carry_out(raft), AppendEntries)]
    assert sizes == [[4, 4, 4], [4, 100], [4]]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_next_heartbeat_reveals_lost_append(lost):
    """§5.3: "the leader retries AppendEntries RPCs indefinitely"."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.deliver_all()
    for _ in range(3):
        cluster.propose("a")
    to_b = [message for message in cluster.network if message.recipient == "b"]
    cluster.network.remove(to_b[lost])
    cluster.run(0.2)
    assert terms_of(cluster["b"]) == terms_of(cluster["a"])
    assert cluster["b"].commit_index == cluster["a"].commit_index == 4


def test_lost_probe_is_sent_again_at_next_heartbeat():
    """§5.3: retries happen also while the leader is probing."""
    raft = leader([1, 1])
    raft.tick(raft.next_timeout())
    assert [len(body.entries) for body in replies(carry_out(raft), AppendEntries)] == [1, 1]


def test_round_of_reads_does_not_resend_probe():
    """Regression: each read of a client sent the entries of the probe, up to a megabyte, again."""
    raft = leader(voters="abcde")
    acknowledge(raft, "b", "c")
    carry_out(raft)
    raft.read_index()
    sent = {message.recipient: message.body for message in carry_out(raft).early_messages}
    assert sorted(sent) == ["b", "c", "d", "e"]
    assert [body.entries for body in sent.values()] == [()] * 4


def test_stale_rejection_does_not_change_next_index():
    """§5.5: messages may be delayed; a match stays a match during the term."""
    raft = leader([1] * 9)
    acknowledge(raft, "b", up_to=10)
    receive(raft, "b", AppendEntriesReply(False, rejected_index=4, conflict_index=1))
    assert raft.progress["b"].next_index == 11
    receive(raft, "c", AppendEntriesReply(False, rejected_index=3, conflict_index=1))
    assert raft.progress["c"].next_index == 10


def test_stale_success_does_not_decrease_match_index():
    """Figure 2, State: matchIndex "increases monotonically"."""
    raft = leader([1] * 9)
    acknowledge(raft, "b", up_to=10)
    acknowledge(raft, "b", up_to=4)
    assert (raft.progress["b"].match_index, raft.progress["b"].next_index) == (10, 11)


def test_restarted_follower_is_brought_up_to_date():
    """§5.3, §5.5: entries that it lost before their sync are sent again."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.propose("a")
    cluster.run(0.1)
    cluster.crash("c")
    for _ in range(20):
        cluster.propose("a")
        cluster.run(0.01)
    cluster.start("c")
    cluster.run(0.3)
    assert cluster.members["c"].applied == cluster.members["a"].applied
    assert len(cluster.members["c"].applied) == 22


def test_slow_follower_does_not_delay_commits():
    """§5.3: a majority is enough to commit."""
    cluster = Cluster("abcde")
    cluster.elect("a")
    cluster.deliver_all()
    cluster.isolate("d", "e")
    for _ in range(10):
        cluster.propose("a")
    cluster.deliver_all()
    assert cluster["a"].commit_index == 11


def test_repaired_logs_have_equal_entries():
    """Figure 3, Log Matching, by example: the data are equal, too, not only the terms."""
    cluster = pair((1, 2, 2), (1, 3, 3))
    cluster.propose("l", b"new")
    cluster.run(0.2)
    assert cluster["x"].log.slice(1, 4) == log_of(1, 3, 3)
    assert cluster["x"].log.slice(1, 6) == cluster["l"].log.slice(1, 6)
