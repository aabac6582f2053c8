"""kill -9 of any node under load: no acknowledged write is lost, and none is applied twice."""

import asyncio
import random

import pytest

from raft_pkg.client import AsyncRaftClient
from tests.integration.clusters import Cluster
from tests.integration.load import Ledger, Load

SEED = 20261122
PROGRESS_TIMEOUT_SECONDS = 20


async def kill_rounds(cluster: Cluster, rounds: int) -> None:
    up = await asyncio.to_thread(cluster.up)
    names = [node["id"] for node in up["nodes"]]
    rng = random.Random(SEED)
    async with AsyncRaftClient(up["endpoints"]) as client:
        load = Load(client, keys=4, writers=8)
        terms = set()
        for number in range(rounds):
            # Kill the leader every third time and all nodes every fifth time: a random choice might omit both.
            status = await client.status()
            terms.add(status.term)
            leader = status.leader_id or names[0]
            victims = names if number % 5 == 2 else [leader if number % 3 == 0 else rng.choice(names)]
            await asyncio.sleep(rng.uniform(0, 0.3))
            await asyncio.to_thread(cluster.control, "kill", *victims)
            await asyncio.sleep(rng.uniform(0, 0.3))
            await asyncio.to_thread(cluster.control, "start", *victims)
            await progress(load, f"after round {number} of seed {SEED}, {victims} killed")
        await load.stop()
        assert await load.judge() == [], f"seed {SEED}"
        assert load.acknowledged > 20 * rounds
        assert len(terms) > rounds // 4, f"hardly any election: terms {sorted(terms)}"


async def progress(load: Load, when: str) -> None:
    """Wait until more writes are acknowledged."""
    before = load.acknowledged
    deadline = asyncio.get_running_loop().time() + PROGRESS_TIMEOUT_SECONDS
    while load.acknowledged < before + 10:
        assert asyncio.get_running_loop().time() < deadline, f"no write for {PROGRESS_TIMEOUT_SECONDS} s {when}"
        await asyncio.sleep(0.02)


async def test_no_acknowledged_write_is_lost_when_nodes_are_killed(new_cluster):
    await kill_rounds(new_cluster, 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_acknowledged_write_is_lost_in_fifty_kills(new_cluster):
    await kill_rounds(new_cluster, 50)


async def test_acknowledged_writes_survive_a_kill_of_all_nodes_at_once(new_cluster):
    up = await asyncio.to_thread(new_cluster.up)
    async with AsyncRaftClient(up["endpoints"]) as client:
        await asyncio.gather(*(client.put(f"k{i}", f"v{i}") for i in range(500)))
        await asyncio.to_thread(new_cluster.control, "kill", "--all")
        await asyncio.to_thread(new_cluster.up)
        values = await asyncio.gather(*(client.get(f"k{i}", timeout=15) for i in range(500)))
    assert values == [f"v{i}".encode() for i in range(500)]


def test_the_ledger_detects_each_kind_of_violation():
    ledger = Ledger("k", acknowledged={"a\n": 2, "b\n": 4}, unknown={"u\n"}, failed={"f\n"})
    assert ledger.judge(b"a\nb\n") == []
    assert ledger.judge(b"a\nb\nu\n") == []
    assert "found at []" in ledger.judge(b"a\n")[0]
    assert "found at [2, 6]" in ledger.judge(b"a\nb\na\n")[0]
    assert len(ledger.judge(b"b\na\n")) == 2
    assert "2 times" in ledger.judge(b"a\nb\nu\nu\n")[0]
    assert "failed True" in ledger.judge(b"a\nb\nf\n")[0]
    assert ledger.judge(None)
