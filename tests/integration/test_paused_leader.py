"""A leader that is paused, replaced and resumed: clients go on, and it gives no stale answer."""

import asyncio
import time

from raft_pkg.client import AsyncRaftClient


async def test_a_paused_leader_is_left_and_reads_nothing_stale_when_it_is_resumed(new_cluster):
    up = await asyncio.to_thread(new_cluster.up)
    leader = next(node for node in up["nodes"] if node["id"] == up["leader"])
    async with AsyncRaftClient(up["endpoints"], timeout=20) as client, AsyncRaftClient(leader["endpoint"]) as loyal:
        await client.put("k", "old")
        assert await loyal.get("k") == b"old"
        await asyncio.to_thread(new_cluster.control, "pause", leader["id"])
        started = time.monotonic()
        read = asyncio.create_task(client.get("k"))  # sent to the paused leader, which never answers
        assert await read == b"old"
        await client.put("k", "new")
        waited_seconds = time.monotonic() - started
        await asyncio.to_thread(new_cluster.control, "resume", leader["id"])
        # The first it is asked; it may believe itself the leader still.
        assert await loyal.get("k", timeout=20) == b"new"
    assert waited_seconds < 15
