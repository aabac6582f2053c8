"""A leader that is paused, replaced and resumed: clients continue, and it serves no stale read."""

import asyncio

from raft_pkg.client import AsyncRaftClient


async def test_clients_leave_a_paused_leader_which_serves_no_stale_read_after_it_resumes(new_cluster):
    up = await asyncio.to_thread(new_cluster.up)
    leader = next(node for node in up["nodes"] if node["id"] == up["leader"])
    async with AsyncRaftClient(up["endpoints"], timeout=20) as client, AsyncRaftClient(leader["endpoint"]) as loyal:
        await client.put("k", "old")
        assert await loyal.get("k") == b"old"
        await asyncio.to_thread(new_cluster.control, "pause", leader["id"])
        async with asyncio.timeout(15):
            assert await client.get("k") == b"old"  # sent to the paused leader first, which does not reply
            await client.put("k", "new")
        await asyncio.to_thread(new_cluster.control, "resume", leader["id"])
        # The first request after it resumes: it may still consider itself the leader.
        assert await loyal.get("k", timeout=20) == b"new"
