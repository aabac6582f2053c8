"""§5.4, safety: the election restriction, and committing entries from previous terms (Figure 8)."""

import pytest

from raft_pkg.core.messages import AppendEntries, Message, RequestVote
from raft_pkg.core.types import EntryKind, Role
from tests.support.cluster import Cluster
from tests.support.core import acknowledge, carry_out, follower, leader, terms_of, vote


@pytest.mark.parametrize(
    ("own_log", "last_log_index", "last_log_term", "granted"),
    [
        pytest.param((), 0, 0, True, id="both empty"),
        pytest.param((1, 1), 2, 1, True, id="equal"),
        pytest.param((1, 1), 3, 1, True, id="same term, longer"),
        pytest.param((1, 1), 1, 1, False, id="same term, shorter"),
        pytest.param((1, 1, 1), 1, 2, True, id="later term, shorter"),
        pytest.param((1, 2), 9, 1, False, id="earlier term, longer"),
        pytest.param((1,), 0, 0, False, id="empty against one"),
    ],
)
def test_vote_requires_log_at_least_as_up_to_date(own_log, last_log_index, last_log_term, granted):
    """§5.4.1: the later last term wins; with equal terms, the longer log."""
    raft = follower(own_log, term=5)
    assert vote(raft, "b", RequestVote(last_log_index, last_log_term), term=6) is granted


def test_candidate_without_committed_entry_is_not_elected():
    """§5.4.1: at least one voter of every majority has the entry."""
    cluster = Cluster("abc")
    cluster.elect("a")
    cluster.deliver_all()
    cluster.isolate("c")
    cluster.propose("a", b"committed")
    cluster.deliver_all()
    assert cluster["a"].commit_index == 2
    cluster.heal()
    cluster.crash("a")
    for _ in range(5):
        cluster.tick("c")
        cluster.deliver_all()
        assert cluster["c"].role is not Role.LEADER
    cluster.elect("b")
    assert b"committed" in [entry.data for entry in cluster["b"].log.slice(1, 3)]


def test_leader_commits_only_entries_from_current_term():
    """§5.4.2, Figure 8: "Raft never commits log entries from previous terms by counting replicas"."""
    raft = leader([1, 1, 2])
    acknowledge(raft, "b", "c", up_to=3)
    assert raft.commit_index == 0
    acknowledge(raft, "b", up_to=4)
    assert raft.commit_index == 4
    assert [entry.term for entry in carry_out(raft).committed] == [1, 1, 2, 3]


def test_new_leader_appends_entry_of_its_own_term():
    """§8, §5.4.2: entries of previous terms are then committed without waiting for a client."""
    cluster = Cluster("abc", logs={"a": (1, 1), "b": (1, 1), "c": (1,)})
    cluster.elect("a")
    cluster.deliver_all()
    assert cluster["a"].log.slice(3, 4)[0].kind is EntryKind.NOOP
    assert [entry.index for entry in cluster.members["a"].applied] == [1, 2, 3]


def figure_8_until_c():
    """Return the cluster of Figure 8 (a) to (c), with S1 to S5 as "1" to "5".

    Entry 2 of term 2 is on S1 and S2, and S1 leads term 4.
    """
    cluster = Cluster("12345", logs=dict.fromkeys("12345", (1,)))
    # (a) S1 leads term 2 and replicates the entry at index 2 only to S2.
    cluster.elect("1")
    cluster.deliver_all(lambda message: message.recipient == "2")
    cluster.network.clear()
    assert [terms_of(cluster[node]) for node in "12345"] == [[1, 2], [1, 2], [1], [1], [1]]
    # (b) S1 crashes; S5 leads term 3 with the votes of S3 and S4, and accepts another entry at index 2.
    cluster.crash("1")
    cluster.elect("5")
    assert (cluster["5"].current_term, terms_of(cluster["5"])) == (3, [1, 3])
    assert cluster["2"].voted_for is None
    cluster.network.clear()
    # (c) S5 crashes; S1 restarts and leads term 4.
    cluster.crash("5")
    cluster.start("1")
    cluster.elect("1")
    assert (cluster["1"].current_term, terms_of(cluster["1"])) == (4, [1, 2, 4])
    cluster.network.clear()
    return cluster


def replicate_entry_2_to_s3(cluster):
    """Figure 8 (c), end: S1 continues to replicate, so that entry 2 is on a majority."""
    leading = cluster["1"]
    entry = leading.log.slice(2, 3)[0]
    body = AppendEntries(1, 1, (entry,), leading.commit_index, 0)
    cluster.send([Message("1", "3", leading.current_term, body)])
    cluster.deliver_all(lambda message: message.recipient == "3")
    cluster.deliver_all(lambda message: message.recipient == "1")
    cluster.network.clear()
    acknowledge(leading, "2", up_to=2)
    assert terms_of(cluster["3"]) == [1, 2]
    assert [leading.progress[node].match_index for node in "23"] == [2, 2]


def test_figure_8_c_entry_of_old_term_on_majority_is_not_committed():
    """§5.4.2, Figure 8 (c): the entry is on S1, S2 and S3, and can still be lost."""
    cluster = figure_8_until_c()
    replicate_entry_2_to_s3(cluster)
    assert cluster["1"].commit_index == 0


def test_figure_8_d_entry_of_old_term_is_overwritten():
    """§5.4.2, Figure 8 (d): S2, S3 and S4 elect S5, which replaces the entry; no committed entry is lost."""
    cluster = figure_8_until_c()
    replicate_entry_2_to_s3(cluster)
    cluster.crash("1")
    cluster.network.clear()
    cluster.start("5")
    cluster.elect("5")
    assert cluster["5"].current_term == 5
    cluster.deliver_all()
    cluster.start("1")
    cluster.run(0.1)
    assert {tuple(terms_of(raft)) for raft in cluster.running} == {(1, 3, 5)}


def test_figure_8_e_entry_of_current_term_commits_both():
    """§5.4.2, Figure 8 (e): once S1's entry of term 4 is on a majority, S5 cannot win an election."""
    cluster = figure_8_until_c()
    cluster.tick("1")
    cluster.deliver_all()
    assert cluster["1"].commit_index == 3
    cluster.crash("1")
    cluster.start("5")
    for _ in range(5):
        cluster.tick("5")
        cluster.deliver_all()
        assert cluster["5"].role is not Role.LEADER
    cluster.run(3.0)
    assert {tuple(terms_of(raft)[:3]) for raft in cluster.running} == {(1, 2, 4)}
