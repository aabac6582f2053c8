"""Who is asked, and how often a command can be taken."""

import asyncio

import pytest

from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import outcome_count
from systems.etcd.node import REQUESTS_MAX, EtcdNode, Session
from systems.etcd.settings import Settings

ENVIRONMENT = {
    "RAFT_ID": "raft-0",
    "RAFT_LISTEN": "127.0.0.1:6000",
    "RAFT_HTTP": "127.0.0.1:6080",
    "RAFT_PEERS": "raft-0=127.0.0.1:6000,raft-1=127.0.0.1:7000",
    "RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:6001,raft-1=127.0.0.1:7001",
    "RAFT_DATA_DIR": "/data",
    "RAFT_ELECTION_TIMEOUT_MS_MIN": "1000",
    "RAFT_ELECTION_TIMEOUT_MS_MAX": "2000",
    "RAFT_HEARTBEAT_INTERVAL_MS": "100",
}


class Leadership:
    def __init__(self, leader):
        self.leader = leader


class Commands:
    """Stands in for etcd: every command happens."""

    def __init__(self):
        self.done = []

    async def command(self, command):
        self.done.append(command)
        return pb.Outcome(code=pb.OUTCOME_CODE_OK)

    query = command


class Waiter:
    def __init__(self):
        self.outcomes = []

    def complete(self, outcome):
        self.outcomes.append(outcome)

    def flush(self):
        """They are there already."""


def node_with(leader):
    commands = Commands()
    return EtcdNode(Settings.from_environment(ENVIRONMENT), Leadership(leader), commands), commands


async def outcomes_of(node, requests, **session):
    waiter = Waiter()
    node.submit(waiter, requests, **session)
    await asyncio.gather(*node._tasks)
    return waiter.outcomes


async def test_who_does_not_lead_says_who_does():
    node, commands = node_with("raft-1")
    (outcome,) = await outcomes_of(node, [pb.Request(id=3, commands=[b"c"])])
    assert (outcome.id, outcome.code) == (3, pb.OUTCOME_CODE_NOT_LEADER)
    assert (outcome.leader_id, outcome.leader_address) == ("raft-1", "127.0.0.1:7000")
    assert commands.done == []


async def test_a_follower_reads_for_who_does_not_mind():
    node, _ = node_with("raft-1")
    (outcome,) = await outcomes_of(node, [pb.Request(id=1, queries=[b"q"], any_node=True)])
    assert outcome.code == pb.OUTCOME_CODE_OK


async def test_a_command_is_taken_once_however_often_it_comes():
    node, commands = node_with("raft-0")
    (opened,) = await outcomes_of(node, [pb.Request(id=1, open_session=True)])
    request = pb.Request(id=2, commands=[b"c"], sequence=1)
    codes = []
    for _ in range(2):
        (outcome,) = await outcomes_of(node, [request], session_id=opened.session_id, acknowledged=1)
        codes.append(outcome.code)
    assert codes == [pb.OUTCOME_CODE_OK, pb.OUTCOME_CODE_SESSION_EXPIRED]
    assert commands.done == [b"c"]


async def test_requests_in_a_row_are_done_one_by_one():
    node, commands = node_with("raft-0")
    (opened,) = await outcomes_of(node, [pb.Request(id=1, open_session=True)])
    session = {"session_id": opened.session_id, "acknowledged": 1}
    outcomes = await outcomes_of(node, [pb.Request(id=5, commands=[b"a", b"b", b"c"], sequence=1)], **session)
    assert sorted((o.id, outcome_count(o), o.code) for o in outcomes) == [(n, 1, pb.OUTCOME_CODE_OK) for n in (5, 6, 7)]
    assert sorted(commands.done) == [b"a", b"b", b"c"]
    (again, new) = await outcomes_of(node, [pb.Request(id=8, commands=[b"c", b"d"], sequence=3)], **session)
    assert (again.id, again.code) == (8, pb.OUTCOME_CODE_SESSION_EXPIRED)
    assert (new.id, new.code) == (9, pb.OUTCOME_CODE_OK)
    assert commands.done[3:] == [b"d"]


@pytest.mark.parametrize(
    "request_",
    [
        pb.Request(id=5, commands=[b"a"], queries=[b"q", b"q"]),
        pb.Request(id=2**64 - 1, commands=[b"a"] * 3),
        pb.Request(id=5, commands=[b"a"] * 3, sequence=2**64 - 1),
    ],
    ids=["two kinds", "ids too high", "sequences too high"],
)
async def test_what_makes_no_sense_is_invalid_with_all_that_it_stands_for(request_):
    node, _ = node_with("raft-0")
    (outcome,) = await outcomes_of(node, [request_])
    assert (outcome.id, outcome.count, outcome.code) == (request_.id, 3, pb.OUTCOME_CODE_INVALID)


async def test_a_session_of_another_node_has_expired_here():
    node, commands = node_with("raft-0")
    (outcome,) = await outcomes_of(node, [pb.Request(id=1, commands=[b"c"], sequence=1)], session_id=77, acknowledged=1)
    assert outcome.code == pb.OUTCOME_CODE_SESSION_EXPIRED
    assert commands.done == []


async def test_more_requests_than_are_waited_for_are_put_off():
    node, _ = node_with("raft-0")
    requests = [pb.Request(id=number, commands=[b"c"]) for number in range(REQUESTS_MAX + 1)]
    outcomes = await outcomes_of(node, requests)
    assert [o.id for o in outcomes if o.code == pb.OUTCOME_CODE_BUSY] == [REQUESTS_MAX]


def test_numbers_below_what_nobody_waits_for_are_taken():
    session = Session()
    assert session.take(5, 1)
    assert session.take(7, 6)
    assert not session.take(5, 6)
    assert not session.take(7, 6)
    assert session.take(6, 6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"RAFT_ELECTION_TIMEOUT_MS_MAX": "1500"}, "RAFT_ELECTION_TIMEOUT_MS_MAX is 1500"),
        ({"RAFT_HEARTBEAT_INTERVAL_MS": "500"}, "5 heartbeats"),
        ({"RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:6001"}, "RAFT_PEERS_INTERNAL"),
        ({"RAFT_ID": "raft-9"}, "raft-9"),
        ({"RAFT_HEARTBEAT_INTERVAL_MS": "soon"}, "soon"),
    ],
)
def test_what_etcd_could_not_keep_is_refused(change, named):
    with pytest.raises(ConfigurationError, match=named):
        Settings.from_environment({**ENVIRONMENT, **change})


def test_a_missing_variable_is_named():
    with pytest.raises(ConfigurationError, match="RAFT_HTTP"):
        Settings.from_environment({name: value for name, value in ENVIRONMENT.items() if name != "RAFT_HTTP"})


def test_members_have_the_numbers_that_etcd_gives_them():
    """As etcd 3.4.23 printed it: `starting local member` of http://127.0.0.1:24801 in the cluster `raft-testbed`."""
    settings = Settings.from_environment(
        {**ENVIRONMENT, "RAFT_PEERS": "raft-0=127.0.0.1:6000", "RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:24801"}
    )
    assert settings.member_names == {"a1bf20df72fb29c5": "raft-0"}
