"""A follower that was down for long installs a snapshot, and the log of the others stays bounded (§7)."""

import asyncio
import time
from pathlib import Path

import pytest

from raft_pkg.client import AsyncRaftClient
from raft_testbed.events import LogEvent, read_events
from tests.integration.clusters import Cluster

WRITES = 200_000
OUTSTANDING = 256
KEYS = 1_000
VALUE_BYTES = 256
DISK_BYTES_MAX = 100 * 1024 * 1024
"""A snapshot, what calls for the next one (16 MiB), the tail (8 MiB), and their segments (16 MiB each)."""
CATCH_UP_SECONDS_MAX = 60.0


def bytes_of(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def events_of(cluster: Cluster, node_id: str, event: str) -> list[LogEvent]:
    lines = (cluster.directory / node_id / "stdout.log").read_text().splitlines()
    return [found for found in read_events(lines) if found["event"] == event]


async def write(client: AsyncRaftClient, writes: int) -> None:
    """Write, with a constant number of operations in flight."""
    numbers = iter(range(writes))

    async def work() -> None:
        for number in numbers:
            await client.put(f"key-{number % KEYS}", b"%0*d" % (VALUE_BYTES, number))

    await asyncio.gather(*(work() for _ in range(OUTSTANDING)))


async def wait_until_applied(client: AsyncRaftClient, node_id: str) -> None:
    deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
    while True:
        nodes = {node.response.id: node.response for node in (await client.status()).nodes if node.reachable}
        if node_id in nodes and nodes[node_id].applied_index == max(node.applied_index for node in nodes.values()):
            return
        assert time.monotonic() < deadline, f"{node_id} has not caught up within {CATCH_UP_SECONDS_MAX} s"
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_follower_that_missed_200_000_writes_catches_up_by_snapshot(
    new_cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    up = await asyncio.to_thread(new_cluster.up)
    away = next(node["id"] for node in up["nodes"] if node["id"] != up["leader"])
    others = [node["id"] for node in up["nodes"] if node["id"] != away]
    async with AsyncRaftClient(up["endpoints"], timeout=30) as client:
        await asyncio.to_thread(new_cluster.control, "kill", away)
        began = time.monotonic()
        await write(client, WRITES)
        writing = time.monotonic() - began
        sizes = {node_id: bytes_of(new_cluster.directory / node_id / "data") for node_id in others}
        assert max(sizes.values()) < DISK_BYTES_MAX, sizes
        assert all(events_of(new_cluster, node_id, "snapshot_taken") for node_id in others)

        began = time.monotonic()
        await asyncio.to_thread(new_cluster.control, "start", away)
        await wait_until_applied(client, away)
        catching_up = time.monotonic() - began
        (installed,) = events_of(new_cluster, away, "snapshot_installed")
        with capsys.disabled():
            megabytes = ", ".join(f"{node_id} {size / 1e6:.1f} MB" for node_id, size in sizes.items())
            print(f"\n{WRITES:,} writes of {VALUE_BYTES} bytes without {away}: {writing:.1f} s; on disk: {megabytes};")
            print(f"{away} back after {catching_up:.2f} s, with a snapshot of {installed['bytes']:,} bytes")

        # The node has all data: after the other follower is killed, it is one of the two that form the majority.
        leader = (await client.status()).leader_id
        follower = next(node_id for node_id in others if node_id != leader)
        await asyncio.to_thread(new_cluster.control, "kill", follower)
        last = {number % KEYS: number for number in range(WRITES)}
        values = await asyncio.gather(*(client.get(f"key-{key}") for key in range(KEYS)))
        assert values == [b"%0*d" % (VALUE_BYTES, last[key]) for key in range(KEYS)]
