"""Agreement on a leader, and the JSON shape of a status."""

import pytest

from raft_pkg.client.status import ClusterStatus, NodeStatus, cluster_status
from raft_pkg.rpc import raft_pb2 as pb


def node(name, role, term, leader_id):
    response = pb.StatusResponse(id=name, role=role, term=term, leader_id=leader_id, leader_address=f"{leader_id}:6000")
    return NodeStatus(f"{name}:6000", None, response)


def unreachable(name):
    return NodeStatus(f"{name}:6000", "connection refused", pb.StatusResponse())


A_LEADS = node("a", "leader", 2, "a")
FOLLOWER_OF_A = node("b", "follower", 2, "a")


@pytest.mark.parametrize(
    ("nodes", "leader"),
    [
        ((A_LEADS, FOLLOWER_OF_A, node("c", "follower", 2, "a")), "a"),
        ((A_LEADS, FOLLOWER_OF_A, unreachable("c")), "a"),
        ((A_LEADS,), "a"),
        ((A_LEADS, unreachable("b"), unreachable("c")), None),
        # The leader has just crashed, and the others do not know it yet.
        ((unreachable("a"), FOLLOWER_OF_A, node("c", "follower", 2, "a")), None),
        # The leader runs, but is not an endpoint.
        ((FOLLOWER_OF_A, node("c", "follower", 2, "a")), "a"),
        # A leader of an old term that does not know of the new one.
        ((node("a", "leader", 1, "a"), node("b", "leader", 2, "b"), node("c", "follower", 2, "b")), "b"),
        ((A_LEADS, FOLLOWER_OF_A, node("c", "candidate", 3, "")), None),
        ((node("a", "candidate", 3, ""), node("b", "follower", 3, ""), node("c", "follower", 3, "")), None),
        ((unreachable("a"),), None),
    ],
)
def test_a_majority_must_agree_on_the_leader_of_the_newest_term(nodes, leader):
    status = ClusterStatus(nodes)
    assert status.leader_id == leader
    assert status.leader_address == (f"{leader}:6000" if leader else None)


def test_the_term_is_the_newest_of_all_nodes():
    assert ClusterStatus((A_LEADS, node("c", "candidate", 3, ""))).term == 3
    assert ClusterStatus((unreachable("a"),)).term is None


def test_json_has_the_error_of_an_unreachable_node():
    assert ClusterStatus((unreachable("a"),)).to_json() == {
        "leader": None,
        "term": None,
        "nodes": [{"endpoint": "a:6000", "reachable": False, "error": "connection refused"}],
    }


async def test_all_endpoints_are_asked(make_node):
    one = await make_node()
    one.status = pb.StatusResponse(id="raft-0", role="leader", term=4, leader_id="raft-0", voters=["raft-0"])
    found = await cluster_status([one.address, "127.0.0.1:1", "no-such-name.invalid:1"], 2.0)
    assert [n.reachable for n in found.nodes] == [True, False, False]
    assert found.nodes[0].to_json()["id"] == "raft-0"
    assert found.nodes[0].to_json()["leader_address"] is None
    assert "refused" in found.nodes[1].error
    assert "name look-up failed" in found.nodes[2].error
