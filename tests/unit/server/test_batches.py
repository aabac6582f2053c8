"""Batches of requests: they share the cost of one, and each request still gets its outcome."""

import pytest

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import outcome_count, split_request
from raft_pkg.server import in_flight, outcomes, pending
from raft_pkg.server.applied import Applied
from raft_pkg.server.pending import COMMAND_OVERHEAD_BYTES, PendingRequests, size_of
from tests.support.nodes import Waiter, append, get, put


def batch_of(*requests):
    """Join requests into one batch."""
    first = requests[0]
    return pb.Request(
        id=first.id,
        commands=[command for request in requests for command in request.commands],
        queries=[query for request in requests for query in request.queries],
        sequence=first.sequence,
        any_node=first.any_node,
    )


def run(cluster, *requests, **session):
    waiter = cluster.submit(cluster.leader, *requests, **session)
    cluster.deliver_all()
    return waiter


def outcomes_of(waiter):
    """Return first id, count and code of each outcome."""
    return [
        (outcome.id, outcome_count(outcome), pb.OutcomeCode.Name(outcome.code).removeprefix("OUTCOME_CODE_"))
        for outcome in waiter.flushed
    ]


def session_of(cluster):
    return run(cluster, pb.Request(open_session=True)).flushed[0].session_id


def values(waiter):
    return [kv.KvResult.FromString(result).value for outcome in waiter.flushed for result in outcome.results]


# --- whole nodes ------------------------------------------------------------------------------------------------------


def test_commands_with_empty_results_share_one_outcome(cluster):
    before = cluster.leader.raft.log.last_index
    waiter = run(cluster, batch_of(*(put(f"key-{n}", b"%d" % n, request_id=10 + n) for n in range(5))))
    assert outcomes_of(waiter) == [(10, 5, "OK")]
    assert list(waiter.flushed[0].results) == []
    assert waiter.flushed[0].index == before + 1 == cluster.leader.raft.log.last_index


def test_results_are_in_the_order_of_the_commands(cluster):
    waiter = run(cluster, batch_of(*(append("key", b"x" * n, request_id=n) for n in range(1, 4))))
    assert outcomes_of(waiter) == [(1, 3, "OK")]
    assert [kv.KvResult.FromString(result).length for result in waiter.flushed[0].results] == [1, 3, 6]


def test_queries_of_a_batch_share_one_outcome(cluster):
    run(cluster, batch_of(*(put(f"key-{n}", b"%d" % n, request_id=n) for n in range(3))))
    waiter = run(cluster, batch_of(*(get(f"key-{n}", request_id=n) for n in range(3))))
    assert outcomes_of(waiter) == [(0, 3, "OK")]
    assert values(waiter) == [b"0", b"1", b"2"]


def test_a_follower_rejects_a_batch_with_one_outcome(cluster):
    waiter = cluster.submit(cluster.followers[0], batch_of(put("a", request_id=1), put("b", request_id=2)))
    assert outcomes_of(waiter) == [(1, 2, "NOT_LEADER")]
    assert waiter.flushed[0].leader_id == cluster.leader.config.node_id


def test_a_repeated_batch_is_applied_once(cluster):
    session = session_of(cluster)
    commands = batch_of(*(append("key", b"%d" % n, request_id=n, sequence=n) for n in range(1, 4)))
    first, again = (run(cluster, commands, session_id=session, acknowledged=1) for _ in range(2))
    assert again.flushed == first.flushed
    assert values(run(cluster, get("key"))) == [b"123"]


def test_a_partly_repeated_batch_applies_only_its_new_commands(cluster):
    session = session_of(cluster)
    requests = [append("key", b"%d" % n, request_id=n, sequence=n) for n in range(1, 6)]
    run(cluster, requests[1], session_id=session)
    run(cluster, requests[3], session_id=session)
    waiter = run(cluster, batch_of(*requests), session_id=session)
    assert [(first, count) for first, count, _ in outcomes_of(waiter)] == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]
    assert len({outcome.index for outcome in waiter.flushed}) == 3, "the repeats name the entries of the first time"
    assert values(run(cluster, get("key"))) == [b"24135"]


def test_acknowledged_commands_of_a_batch_expire_and_the_others_are_applied(cluster):
    session = session_of(cluster)
    commands = batch_of(*(append("key", b"%d" % n, request_id=n, sequence=n) for n in range(1, 5)))
    waiter = run(cluster, commands, session_id=session, acknowledged=3)
    assert outcomes_of(waiter) == [(1, 2, "SESSION_EXPIRED"), (3, 2, "OK")]
    assert values(run(cluster, get("key"))) == [b"34"]


def test_a_batch_of_an_unknown_session_expires_as_a_whole(cluster):
    waiter = run(
        cluster, batch_of(put("a", request_id=1, sequence=1), put("b", request_id=2, sequence=2)), session_id=77
    )
    assert outcomes_of(waiter) == [(1, 2, "SESSION_EXPIRED")]


def test_batches_of_several_clients_share_an_entry_and_each_gets_its_own_outcomes(cluster):
    leader, session = cluster.leader, session_of(cluster)
    before = leader.raft.log.last_index
    waiters = [Waiter() for _ in range(3)]
    leader.submit(waiters[0], [batch_of(append("key", b"a", request_id=1), append("key", b"b", request_id=2))])
    in_session = batch_of(
        append("key", b"c", request_id=1, sequence=1),
        append("key", b"d", request_id=2, sequence=2),
        append("key", b"e", request_id=3, sequence=3),
    )
    leader.submit(waiters[1], [in_session], session_id=session)
    leader.submit(waiters[2], [append("key", b"f", request_id=1)])
    leader.run_iteration()
    cluster.deliver_all()
    assert leader.raft.log.last_index == before + 1
    assert [outcomes_of(waiter) for waiter in waiters] == [[(1, 2, "OK")], [(1, 3, "OK")], [(1, 1, "OK")]]
    assert values(run(cluster, get("key"))) == [b"abcdef"]


def test_a_batch_larger_than_an_entry_takes_several_entries(cluster, monkeypatch):
    monkeypatch.setattr(pending, "ENTRY_BYTES_MAX", 1000)
    monkeypatch.setattr("raft_pkg.server.batcher.ENTRY_BYTES_MAX", 1000)
    before = cluster.leader.raft.log.last_index
    commands = batch_of(*(append("key", b"%d" % n + b"." * 200, request_id=n) for n in range(10)))
    waiter = run(cluster, commands)
    assert cluster.leader.raft.log.last_index == before + 4
    assert [(first, count) for first, count, _ in outcomes_of(waiter)] == [(0, 3), (3, 3), (6, 3), (9, 1)]
    (value,) = values(run(cluster, get("key")))
    assert value.replace(b".", b"") == b"0123456789"


def test_the_part_of_a_batch_that_fits_into_the_queue_is_accepted(cluster, monkeypatch):
    monkeypatch.setattr(pending, "ENTRY_BYTES_MAX", 1000)
    monkeypatch.setattr(in_flight, "QUEUED_BYTES_MAX", 2400)
    waiter = run(cluster, batch_of(*(put("key", b"." * 200, request_id=n) for n in range(10))))
    assert sorted(outcomes_of(waiter)) == [(0, 3, "OK"), (3, 3, "OK"), (6, 3, "BUSY"), (9, 1, "OK")]


def test_a_command_that_is_too_large_does_not_affect_the_rest_of_its_batch(cluster, monkeypatch):
    monkeypatch.setattr(pending, "ENTRY_BYTES_MAX", 1000)
    monkeypatch.setattr(in_flight, "COMMAND_BYTES_MAX", 2000)
    sizes = (10, 10, 3000, 10)
    waiter = run(cluster, batch_of(*(put("key", bytes(size), request_id=n) for n, size in enumerate(sizes))))
    assert sorted(outcomes_of(waiter)) == [(0, 2, "OK"), (2, 1, "INVALID"), (3, 1, "OK")]


@pytest.mark.parametrize(
    ("request_", "session_id", "count"),
    [
        (pb.Request(id=1, commands=[b"c"], queries=[b"q", b"q"]), 0, 3),
        (pb.Request(id=1, commands=[b"c"], open_session=True), 0, 1),
        (pb.Request(id=1), 0, 1),
        (pb.Request(id=1, commands=[b"c"] * 2), 5, 2),
        (pb.Request(id=2**64 - 1, commands=[b"c"] * 2), 0, 2),
        (pb.Request(id=1, commands=[b"c"] * 2, sequence=2**64 - 1), 5, 2),
    ],
    ids=["two kinds", "a session and a command", "nothing", "no sequence", "ids too high", "sequences too high"],
)
def test_an_invalid_request_is_rejected_as_a_whole(cluster, request_, session_id, count):
    before = cluster.leader.raft.log.last_index
    waiter = run(cluster, request_, session_id=session_id)
    assert outcomes_of(waiter) == [(request_.id, count, "INVALID")]
    assert f"request {request_.id}" in waiter.flushed[0].message
    assert cluster.leader.raft.log.last_index == before


def test_the_greatest_ids_and_sequence_numbers_are_valid(cluster):
    session = session_of(cluster)
    top = 2**64 - 2
    waiter = run(cluster, batch_of(put("a", request_id=top, sequence=top), put("b")), session_id=session)
    assert outcomes_of(waiter) == [(top, 2, "OK")]


def test_a_batch_has_the_same_effect_as_its_commands_one_by_one(cluster):
    commands = batch_of(*(append("key", b"%d" % n, request_id=n) for n in range(4)))
    inline, singly = run(cluster, commands), run(cluster, *split_request(commands))
    assert [kv.KvResult.FromString(r).length for o in inline.flushed for r in o.results] == [1, 2, 3, 4]
    assert [kv.KvResult.FromString(r).length for o in singly.flushed for r in o.results] == [5, 6, 7, 8]


def test_every_request_gets_an_outcome_when_the_node_stops(cluster):
    leader = cluster.leader
    cluster.cut |= {node.config.node_id for node in cluster.followers}
    proposed = cluster.submit(leader, batch_of(put("a", request_id=1), put("b", request_id=2)))
    queued = Waiter()
    leader.submit(queued, [batch_of(put("c", request_id=3), put("d", request_id=4), put("e", request_id=5))])
    leader.stop("the test is over")
    leader._fail_all("the test is over")
    assert outcomes_of(proposed) == [(1, 2, "UNKNOWN")]
    assert outcomes_of(queued) == [(3, 3, "UNAVAILABLE")]


# --- pending requests and outcomes ------------------------------------------------------------------------------------


def pending_of(*bodies):
    return PendingRequests(Waiter(), 1, bodies, size_of(bodies), session_id=4, first_sequence=7, acknowledged=2)


def test_batches_keep_ids_session_and_sequence_numbers(monkeypatch):
    monkeypatch.setattr(pending, "ENTRY_BYTES_MAX", 2 * COMMAND_OVERHEAD_BYTES + 10)
    whole = pending_of(b"12345", b"12345", b"123456", b"", b"x" * 500, b"y")
    batches = list(whole.split())
    assert [list(batch.bodies) for batch in batches] == [[b"12345", b"12345"], [b"123456", b""], [b"x" * 500], [b"y"]]
    assert [batch.first_id for batch in batches] == [1, 3, 5, 6]
    assert [batch.first_sequence for batch in batches] == [7, 9, 11, 12]
    assert {(batch.session_id, batch.acknowledged) for batch in batches} == {(4, 2)}
    assert sum(batch.size for batch in batches) == whole.size
    assert all(batch.size == size_of(batch.bodies) for batch in batches)


def test_requests_that_fit_into_an_entry_are_one_batch():
    whole = pending_of(b"a", b"b")
    assert list(whole.split()) == [whole]


def test_outcomes_are_split_at_the_size_limit(monkeypatch):
    monkeypatch.setattr(outcomes, "RESULTS_BYTES_MAX", 10 + 3 * outcomes.RESULT_OVERHEAD_BYTES)
    results = [b"12345", b"12345", b"", b"1", b"x" * 50, b"y"]
    cut = list(outcomes.of_results(1, results, index=9))
    assert [list(outcome.results) for outcome in cut] == [[b"12345", b"12345", b""], [b"1"], [b"x" * 50], [b"y"]]
    assert [(outcome.id, outcome.count) for outcome in cut] == [(1, 3), (4, 1), (5, 1), (6, 1)]
    assert {outcome.index for outcome in cut} == {9}


def test_outcomes_are_split_where_index_or_code_changes():
    applied = [
        Applied(b"", 5),
        Applied(b"", 5),
        Applied(b"r", 3),
        Applied(b"", 0, expired=True),
        Applied(b"", 0, expired=True),
        Applied(b"", 5),
    ]
    became = list(outcomes.of_applied(pending_of(*[b""] * 6), applied))
    assert [(outcome.id, outcome.count, outcome.index, list(outcome.results)) for outcome in became] == [
        (1, 2, 5, []),
        (3, 1, 3, [b"r"]),
        (4, 2, 0, []),
        (6, 1, 5, []),
    ]
    assert [outcome.code for outcome in became][2] == pb.OUTCOME_CODE_SESSION_EXPIRED
    assert "session 4 has expired" in became[2].message
