"""The client library with reads that any node answers."""

from raft_pkg.client import AsyncRaftClient


class AnyNodeReads:
    """Something to measure: puts as ever, gets by a node that the client chooses by rng."""

    def __init__(self, client: AsyncRaftClient) -> None:
        self.put = client.put
        self._client = client

    async def get(self, key: str) -> bytes | None:
        """A linearizable read."""
        return await self._client.get(key, any_node=True)
