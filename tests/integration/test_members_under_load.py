"""Membership changes, leadership transfers and lost disks under load, without any effect on clients."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from raft_pkg.client import AsyncRaftClient
from tests.integration.clusters import PATIENT, Cluster, run_raftctl, serving
from tests.integration.load import Load

DEADLINE_SECONDS = 5.0
"""Of every operation: none may fail, and none may end without an outcome."""
WAIT_SECONDS = 30.0


class Scene:
    """A cluster of three nodes under load, and operations on it."""

    def __init__(self, cluster: Cluster, endpoints: str, client: AsyncRaftClient, load: Load) -> None:
        self.cluster, self.endpoints, self.client, self.load = cluster, endpoints, client, load

    async def raftctl(self, *arguments: str) -> dict[str, Any]:
        done = await asyncio.to_thread(run_raftctl, *arguments, "--endpoints", self.endpoints, "--json")
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    async def roles(self) -> dict[str, str]:
        members = await self.raftctl("members", "list")
        return {member["id"]: member["role"] for member in members["members"]}

    async def leader(self) -> str:
        return (await self.raftctl("members", "list"))["leader"]

    async def wait_for(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while not await holds():
            assert asyncio.get_running_loop().time() < deadline, f"not within {WAIT_SECONDS} s: {what}"
            await asyncio.sleep(0.1)

    async def add(self, node_id: str, port: int) -> None:
        added = await self.raftctl("members", "add", node_id, f"127.0.0.1:{port}", "--promote")
        assert {m["id"]: m["role"] for m in added["members"]}[node_id] == "voter"

    async def lose_disk(self, node_id: str) -> None:
        """Restart the node with an empty directory and wait until it is a voter again."""
        await asyncio.to_thread(self.cluster.control, "kill", node_id)
        before = {m["id"]: m["incarnation"] for m in (await self.raftctl("members", "list"))["members"]}
        shutil.rmtree(self.cluster.directory / node_id / "data")
        await asyncio.to_thread(self.cluster.control, "start", node_id)

        async def is_back() -> bool:
            members = (await self.raftctl("members", "list"))["members"]
            member = next(m for m in members if m["id"] == node_id)
            return member["role"] == "voter" and member["incarnation"] != before[node_id]

        await self.wait_for(f"{node_id} votes again, in another incarnation", is_back)


@asynccontextmanager
async def under_load(cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[Scene, dict[str, int]]]:
    """Yield a scene with two more running nodes that are no members; check the load at the end."""
    up = await asyncio.to_thread(cluster.up)
    first = up["endpoints"].split(",")[0]
    async with AsyncRaftClient(up["endpoints"]) as client:
        with (
            serving("raft-3", tmp_path, {"raft-0": first}, *PATIENT) as third,
            serving("raft-4", tmp_path, {"raft-0": first}, *PATIENT) as fourth,
        ):
            endpoints = f"{up['endpoints']},127.0.0.1:{third},127.0.0.1:{fourth}"
            load = Load(client, keys=4, writers=8, timeout=DEADLINE_SECONDS)
            scene = Scene(cluster, endpoints, client, load)
            yield scene, {"raft-3": third, "raft-4": fourth}
            await load.stop()
            assert await load.judge() == []
            assert (load.unknown, load.failed) == (0, 0), "a client with a deadline of 5 s saw an error"
            assert load.acknowledged > 100


@pytest.mark.timeout(180)
async def test_clients_do_not_notice_growth_and_a_leader_failure(new_cluster, tmp_path):
    async with under_load(new_cluster, tmp_path) as (scene, ports):
        await scene.add("raft-3", ports["raft-3"])
        leader = await scene.leader()
        await scene.raftctl("members", "remove", leader)
        assert leader not in await scene.roles()
        assert await scene.leader() != leader


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_clients_do_not_notice_any_membership_operation(new_cluster, tmp_path):
    async with under_load(new_cluster, tmp_path) as (scene, ports):
        for node_id, port in ports.items():
            await scene.add(node_id, port)
        first_leader = await scene.leader()
        await scene.raftctl("members", "remove", first_leader)
        voters = [node_id for node_id, role in (await scene.roles()).items() if role == "voter"]
        assert len(voters) == 4
        for number in range(10):
            leader = await scene.leader()
            target = next(v for v in voters[number % 4 :] + voters if v != leader)
            assert (await scene.raftctl("transfer", target))["leader"] == target
        victim = next(v for v in voters if v in ("raft-0", "raft-1", "raft-2"))
        await scene.lose_disk(victim)
        assert sorted(await scene.roles()) == sorted(voters)
