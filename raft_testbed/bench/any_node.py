"""Benchmark target whose reads may be served by any node."""

from raft_pkg.client import AsyncRaftClient


class AnyNodeReads:
    """The client library with `get` served by a node that the client chooses at random."""

    def __init__(self, client: AsyncRaftClient) -> None:
        self.put = client.put
        self._client = client

    async def get(self, key: str) -> bytes | None:
        """Return the value of a linearizable read."""
        return await self._client.get(key, any_node=True)
