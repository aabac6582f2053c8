"""Sessions and follower reads on whole nodes: repeated commands, and queries sent to a follower."""

import pytest

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import single_result
from tests.support.nodes import NodeCluster, Waiter, append, get, put

TTL_SECONDS = 30.0


@pytest.fixture
def cluster(tmp_path):
    cluster = NodeCluster(tmp_path, session_ttl=TTL_SECONDS)
    cluster.run(2.0)
    yield cluster
    cluster.close()


def run(cluster, node, *requests, **session):
    """Submit requests, deliver all messages, and return the outcomes."""
    waiter = cluster.submit(node, *requests, **session)
    cluster.deliver_all()
    return waiter


def open_session(cluster):
    waiter = run(cluster, cluster.leader, pb.Request(id=9, open_session=True))
    (outcome,) = waiter.flushed
    assert (outcome.id, waiter.codes) == (9, ["OK"])
    assert outcome.session_id
    return outcome.session_id


def value(cluster, node, key, **options):
    waiter = run(cluster, node, get(key, **options))
    assert waiter.codes == ["OK"]
    return kv.KvResult.FromString(single_result(waiter.flushed[0])).value


# --- sessions (dissertation §6.3) -------------------------------------------------------------------------------------


def test_every_session_gets_a_new_id(cluster):
    sessions = [open_session(cluster) for _ in range(3)]
    waiter = run(cluster, cluster.leader, *(pb.Request(id=number, open_session=True) for number in range(3)))
    assert waiter.codes == ["OK"] * 3
    assert len({*sessions, *(outcome.session_id for outcome in waiter.flushed)}) == 6


def test_a_repeated_command_is_applied_once_and_gets_the_first_outcome(cluster):
    session = open_session(cluster)
    request = append("key", b"x", sequence=1)
    first = run(cluster, cluster.leader, request, session_id=session)
    again = run(cluster, cluster.leader, request, request, session_id=session)
    assert [(list(o.results), o.index) for o in again.flushed] == [
        (list(first.flushed[0].results), first.flushed[0].index)
    ] * 2
    assert value(cluster, cluster.leader, "key") == b"x"
    run(cluster, cluster.leader, append("key", b"y", sequence=2), session_id=session)
    assert value(cluster, cluster.leader, "key") == b"xy"


def test_a_command_with_unknown_outcome_can_be_repeated_at_another_leader(cluster):
    """The client of a failed leader need not know whether its command was committed."""
    session = open_session(cluster)
    old = cluster.leader
    request = append("key", b"x", sequence=1)
    run(cluster, old, request, session_id=session)
    cluster.cut = {old.config.node_id}
    cluster.run(3.0)
    new = cluster.leader
    assert new is not old
    assert run(cluster, new, request, session_id=session).codes == ["OK"]
    assert value(cluster, new, "key") == b"x"
    assert run(cluster, new, append("key", b"y", sequence=2), session_id=session).codes == ["OK"]
    cluster.cut = set()
    cluster.run(1.0)
    assert value(cluster, old, "key", any_node=True) == b"xy"


def test_a_session_survives_a_restart_of_all_nodes(cluster):
    session = open_session(cluster)
    request = append("key", b"x", sequence=1)
    run(cluster, cluster.leader, request, session_id=session)
    for node_id in "abc":
        cluster.stop(node_id)
        cluster.start(node_id)
    cluster.run(2.0)
    assert run(cluster, cluster.leader, request, session_id=session).codes == ["OK"]
    assert value(cluster, cluster.leader, "key") == b"x"
    assert open_session(cluster) != session


def test_commands_without_a_session_in_the_same_iteration_are_always_applied(cluster):
    session = open_session(cluster)
    leader, with_session, without = cluster.leader, Waiter(), Waiter()
    leader.submit(with_session, [append("key", b"s", sequence=1)], session_id=session)
    leader.submit(without, [append("key", b"p"), append("key", b"p")])
    leader.run_iteration()
    cluster.deliver_all()
    assert (with_session.codes, without.codes) == (["OK"], ["OK"] * 2)
    assert value(cluster, leader, "key") == b"spp"


def test_an_unknown_session_has_expired(cluster):
    waiter = run(cluster, cluster.leader, append("key", b"x", sequence=1), session_id=999)
    assert waiter.codes == ["SESSION_EXPIRED"]
    assert "session 999 has expired" in waiter.flushed[0].message
    assert not value(cluster, cluster.leader, "key")
    assert cluster.leader._in_flight.queued_bytes == 0


def test_an_unused_session_expires(cluster):
    session = open_session(cluster)
    cluster.run(TTL_SECONDS - 1)
    assert run(cluster, cluster.leader, append("key", b"x", sequence=1), session_id=session).codes == ["OK"]
    cluster.run(TTL_SECONDS - 1)
    assert run(cluster, cluster.leader, append("key", b"y", sequence=2), session_id=session).codes == ["OK"]
    cluster.run(TTL_SECONDS + 1)
    late = run(cluster, cluster.leader, append("key", b"z", sequence=3), session_id=session)
    assert late.codes == ["SESSION_EXPIRED"]
    assert value(cluster, cluster.leader, "key") == b"xy"
    assert len({node.applied_index for node in cluster.nodes.values()}) == 1


def test_acknowledged_outcomes_are_dropped(cluster):
    session = open_session(cluster)
    run(cluster, cluster.leader, append("key", b"x", sequence=1), session_id=session)
    run(cluster, cluster.leader, append("key", b"y", sequence=2), session_id=session, acknowledged=2)
    assert run(cluster, cluster.leader, append("key", b"x", sequence=1), session_id=session).codes == [
        "SESSION_EXPIRED"
    ]
    assert value(cluster, cluster.leader, "key") == b"xy"


def test_a_command_of_a_session_needs_a_sequence_number_and_a_query_does_not(cluster):
    session = open_session(cluster)
    waiter = cluster.submit(cluster.leader, put("key"), get("key", request_id=2), session_id=session)
    assert waiter.codes == ["INVALID"]
    cluster.deliver_all()
    assert waiter.codes == ["INVALID", "OK"]


def test_a_follower_opens_no_session(cluster):
    waiter = run(cluster, cluster.followers[0], pb.Request(open_session=True))
    assert waiter.codes == ["NOT_LEADER"]
    assert waiter.flushed[0].leader_id == cluster.leader.config.node_id


async def test_requests_to_open_a_session_complete_when_the_node_stops(cluster):
    leader = cluster.leader
    cluster.cut = {leader.config.node_id}
    proposed = cluster.submit(leader, pb.Request(open_session=True))
    waiting = Waiter()
    leader.submit(waiting, [pb.Request(open_session=True)])
    leader.stop("asked to")
    await leader.run()
    assert (proposed.codes, waiting.codes) == (["UNKNOWN"], ["UNAVAILABLE"])


# --- follower reads (dissertation §6.4) -------------------------------------------------------------------------------


def test_a_follower_read_returns_every_acknowledged_write(cluster):
    follower = cluster.followers[0]
    for number in range(5):
        assert run(cluster, cluster.leader, put("key", b"%d" % number)).codes == ["OK"]
        before = cluster.leader.applied_index
        waiter = cluster.submit(follower, get("key", any_node=True))
        assert waiter.codes == [], "it asks the leader first"
        cluster.run(0.1)
        assert kv.KvResult.FromString(single_result(waiter.flushed[0])).value == b"%d" % number
        assert waiter.flushed[0].index >= before
    assert follower._in_flight.queued_bytes == 0


def test_the_leader_answers_follower_reads_too(cluster):
    run(cluster, cluster.leader, put("key", b"1"))
    assert value(cluster, cluster.leader, "key", any_node=True) == b"1"


def test_a_follower_refers_other_queries_to_the_leader(cluster):
    waiter = cluster.submit(cluster.followers[0], get("key", request_id=1), get("key", request_id=2, any_node=True))
    cluster.run(0.1)
    assert {outcome.id: code for outcome, code in zip(waiter.flushed, waiter.codes, strict=True)} == {
        1: "NOT_LEADER",
        2: "OK",
    }


def test_a_follower_that_is_cut_off_fails_reads_instead_of_serving_stale_data(cluster):
    follower = cluster.followers[0]
    run(cluster, cluster.leader, put("key", b"old"))
    cluster.run(0.1)
    cluster.cut = {follower.config.node_id}
    waiter = cluster.submit(follower, get("key", any_node=True))
    run(cluster, cluster.leader, put("key", b"new"))
    cluster.run(1.0)
    assert waiter.codes == ["NOT_LEADER"]
    assert waiter.flushed[0].leader_id == ""
    assert run(cluster, follower, get("key", any_node=True)).codes == ["NOT_LEADER"]
    cluster.cut = set()
    cluster.run(1.0)
    assert value(cluster, follower, "key", any_node=True) == b"new"


def test_a_node_outside_a_cluster_answers_no_reads(cluster):
    newcomer = cluster.join("d")
    cluster.run(1.0)
    assert newcomer.raft.is_uninitialized
    waiter = run(cluster, newcomer, get("key", any_node=True), get("key"), put("key"), pb.Request(open_session=True))
    assert waiter.codes == ["NOT_LEADER"] * 4


async def test_a_node_that_stops_completes_reads_that_wait_for_its_leader(cluster):
    follower = cluster.followers[0]
    cluster.cut = {follower.config.node_id}
    asked = cluster.submit(follower, get("key", any_node=True))
    queued = Waiter()
    follower.submit(queued, [get("key", any_node=True)])
    follower.stop("asked to")
    await follower.run()
    assert (asked.codes, queued.codes) == (["UNAVAILABLE"], ["UNAVAILABLE"])


@pytest.mark.parametrize("lease_reads", [False, True])
def test_a_leader_with_a_lease_answers_without_a_quorum_round(tmp_path, lease_reads):
    """Dissertation §6.4.1: within its lease the leader answers at once; without a lease it asks a quorum first."""
    cluster = NodeCluster(tmp_path, lease_reads=lease_reads)
    cluster.run(2.0)
    waiter = cluster.submit(cluster.leader, get("key"))
    assert waiter.codes == (["OK"] if lease_reads else [])
    cluster.close()


def test_a_lease_ends_before_another_leader_can_be_elected(tmp_path):
    cluster = NodeCluster(tmp_path, lease_reads=True)
    cluster.run(2.0)
    old = cluster.leader
    cluster.cut = {old.config.node_id}
    while cluster.leader is old:
        cluster.run(0.01)
    stale = cluster.submit(old, get("key"))
    assert stale.codes in ([], ["NOT_LEADER"])
    cluster.close()
