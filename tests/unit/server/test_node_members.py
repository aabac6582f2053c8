"""Membership changes on whole nodes: each request gets one result, whatever happens to the change (§6)."""

import pytest

from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from tests.support.nodes import NodeCluster, get, put


def change(cluster, node, change_, seconds=1.0):
    """Request a change, run the cluster, and return the future."""
    future = node.change_members(change_)
    node.run_iteration()
    cluster.run(seconds)
    return future


def add(cluster, *, promote=False, node_id="d"):
    """Start one more node and add it as a learner."""
    cluster.join(node_id)
    return change(cluster, cluster.leader, AddLearner(node_id, cluster.peers[node_id], promote))


def configuration(node):
    members = node.members()
    return {member.id: member.role for member in members.members}, members.joint, members.committed


def events(cluster, node_id, name):
    return [event for event in cluster.events(node_id) if event["event"] == name]


async def test_a_node_is_added_as_a_learner_promoted_and_removed(cluster):
    leader = cluster.leader
    index = await add(cluster)
    assert index == leader.raft.configuration_index
    roles = {"a": "voter", "b": "voter", "c": "voter", "d": "learner"}
    assert [configuration(node) for node in cluster.nodes.values()] == [(roles, False, True)] * 4
    cluster.submit(leader, put("key"))
    cluster.run(0.2)
    assert cluster.nodes["d"].applied_index == leader.applied_index
    index = await change(cluster, leader, Promote("d"))
    assert index == leader.raft.configuration_index
    assert configuration(cluster.nodes["d"]) == ({**roles, "d": "voter"}, False, True)
    await change(cluster, leader, Remove("d"))
    assert configuration(leader) == (dict.fromkeys("abc", "voter"), False, True)
    assert "d" not in cluster.wires[leader.config.node_id].addresses
    indexes = [event["index"] for event in events(cluster, leader.config.node_id, "configuration_committed")]
    assert indexes == sorted(indexes)
    assert len(indexes) == 4  # the first configuration, and the three changes


async def test_a_learner_is_promoted_automatically_on_request(cluster):
    await add(cluster, promote=True)
    assert configuration(cluster.leader)[0]["d"] == "voter"
    assert len(cluster.leader.raft.voters) == 4


async def test_an_invalid_change_is_rejected_with_the_reason(cluster):
    leader = cluster.leader
    for wrong, why in [
        (Promote("nobody"), "nobody is not a member"),
        (Promote("a"), "a is a voter already"),
        (Remove("nobody"), "nobody is not a member"),
        (AddLearner("a", "h:1"), "a is a voter already"),
        (AddLearner("d", cluster.peers["a"]), "is the address of a"),
    ]:
        with pytest.raises(ChangeRefusedError, match=why):
            await change(cluster, leader, wrong, seconds=0)
    assert leader.raft.configuration_index == 1


async def test_a_second_change_is_rejected_while_one_is_in_progress(cluster):
    leader = cluster.leader
    cluster.join("d")
    first = leader.change_members(AddLearner("d", cluster.peers["d"]))
    second = leader.change_members(Remove("a"))
    leader.run_iteration()
    with pytest.raises(ChangeRefusedError, match="another change is in progress: d is being added"):
        await second
    cluster.run(1.0)
    assert await first == leader.raft.configuration_index


async def test_a_node_that_does_not_run_is_not_added(cluster):
    future = change(cluster, cluster.leader, AddLearner("d", "127.0.0.1:9"), seconds=10.0)
    with pytest.raises(ChangeRefusedError, match=r"d did not reply at 127\.0\.0\.1:9 within 6 s; does it run there"):
        await future
    (failed,) = events(cluster, cluster.leader.config.node_id, "configuration_change_failed")
    assert "d did not reply" in failed["reason"]


async def test_a_follower_refers_a_change_to_the_leader(cluster):
    with pytest.raises(NotLeaderError) as error:
        await change(cluster, cluster.followers[0], Remove("a"), seconds=0)
    assert error.value.leader == cluster.leader.config.node_id


async def test_the_result_of_a_change_is_unknown_when_leadership_is_lost(cluster):
    old = cluster.leader
    victim = cluster.followers[0].config.node_id
    cluster.cut = {old.config.node_id}
    future = change(cluster, old, Remove(victim), seconds=0)
    assert not future.done()
    cluster.run(2.0)
    with pytest.raises(NotLeaderError):
        await future
    cluster.cut = set()
    cluster.run(1.0)
    assert configuration(old) == (dict.fromkeys("abc", "voter"), False, True), "its entry was replaced"


async def test_a_leader_that_removes_itself_completes_the_change_and_steps_down(cluster):
    old = cluster.leader
    old_id = old.config.node_id
    index = await change(cluster, old, Remove(old_id))
    assert not old.is_leader
    assert cluster.leader is not old
    assert cluster.leader.raft.configuration_index == index
    assert old_id not in cluster.leader.raft.voters
    waiter = cluster.submit(cluster.leader, put("key"), get("key"))
    cluster.run(0.2)
    assert waiter.codes == ["OK"] * 2
    term = cluster.leader.raft.current_term
    cluster.run(3.0)
    assert cluster.leader.raft.current_term == term, "a removed node does not disturb the cluster"


async def test_a_node_that_stops_fails_all_pending_changes(cluster):
    leader = cluster.leader
    cluster.cut = {leader.config.node_id}
    pending = change(cluster, leader, Remove(cluster.followers[0].config.node_id), seconds=0)
    waiting = leader.change_members(Remove("a"))
    leader.stop("asked to")
    await leader.run()
    with pytest.raises(NotLeaderError):
        await pending
    with pytest.raises(ChangeRefusedError, match="asked to"):
        await waiting
    with pytest.raises(ChangeRefusedError, match="is stopping"):
        await leader.change_members(Remove("a"))


async def test_a_cancelled_change_does_not_end_the_node(cluster):
    leader = cluster.leader
    leader.change_members(Promote("nobody")).cancel()
    leader.run_iteration()
    cluster.join("d")
    pending = leader.change_members(AddLearner("d", cluster.peers["d"]))
    leader.run_iteration()
    pending.cancel()
    cluster.run(1.0)
    assert configuration(leader)[0]["d"] == "learner"


def test_a_cluster_is_bootstrapped_only_when_all_of_its_nodes_run(tmp_path):
    cluster = NodeCluster(tmp_path)
    cluster.stop("c")
    cluster.run(5.0)
    assert {node.raft.current_term for node in cluster.nodes.values()} == {0}
    assert all(node.raft.is_uninitialized for node in cluster.nodes.values())
    cluster.start("c")
    cluster.run(2.0)
    assert cluster.leader.raft.current_term == 2
    first, second = cluster.leader.raft.log.slice(1, 3)
    assert (first.term, first.kind.name, second.term, second.kind.name) == (1, "CONFIGURATION", 2, "NOOP")
    cluster.stop("c")
    cluster.run(3.0)
    assert cluster.leader, "later any majority is enough"
    cluster.close()


@pytest.mark.parametrize("node_id", ["a", "c"], ids=["the node that bootstrapped the cluster", "another node"])
def test_a_node_that_lost_its_disk_becomes_a_learner_and_is_promoted(cluster, node_id):
    """The votes of its previous incarnation are lost, so it must not vote before it has the log again."""
    waiter = cluster.submit(cluster.leader, put("key", b"1"))
    cluster.run(0.2)
    assert waiter.codes == ["OK"]
    before = cluster.nodes[node_id].raft.incarnation
    cluster.stop(node_id)
    cluster.run(3.0)
    for path in (cluster.directory / node_id).iterdir():
        path.unlink()
    cluster.journal.checker.disk_lost(node_id)
    wiped = cluster.start(node_id)
    assert wiped.raft.incarnation != before
    cluster.run(3.0)
    assert configuration(wiped) == (dict.fromkeys("abc", "voter"), False, True)
    assert wiped.raft.configuration.member(node_id).incarnation == wiped.raft.incarnation
    roles = [(event["voters"], event["learners"]) for event in events(cluster, node_id, "configuration_changed")]
    others = [name for name in "abc" if name != node_id]
    assert (others, [node_id]) in roles
    assert roles[-1] == (["a", "b", "c"], [])
    assert wiped.applied_index == cluster.leader.applied_index


def test_members_show_the_replication_progress_that_the_leader_knows(cluster):
    leader = cluster.leader
    cluster.submit(leader, put("key"))
    cluster.run(0.2)
    away = cluster.followers[0].config.node_id
    cluster.cut = {away}
    cluster.submit(leader, put("key"))
    cluster.run(0.1)
    answer = leader.members()
    by_id = {member.id: member for member in answer.members}
    assert [member.id for member in answer.members] == ["a", "b", "c"]
    last = leader.raft.log.last_index
    assert answer.last_log_index == by_id[leader.config.node_id].match_index == last
    assert by_id[away].match_index == last - 1
    assert 0.05 <= by_id[away].last_contact_seconds <= 0.2
    assert by_id[leader.config.node_id].last_contact_seconds == 0
    assert {member.address for member in answer.members} == set(cluster.peers.values())
    assert {m.id: m.incarnation for m in answer.members} == {n: x.raft.incarnation for n, x in cluster.nodes.items()}
    follower_response = cluster.nodes[away].members()
    assert [(member.id, member.match_index) for member in follower_response.members] == [("a", 0), ("b", 0), ("c", 0)]
    assert follower_response.leader_id == leader.config.node_id
