"""A unary server that answers a put at once and keeps nothing: what a call of that shape can cost at the least."""

import asyncio
import sys

import grpc.aio

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc import raft_pb2_grpc
from raft_pkg.rpc.options import SERVER_OPTIONS


class Echo(raft_pb2_grpc.KeyValueServicer):
    """Acknowledges."""

    async def Put(self, request: pb.PutRequest, context: object) -> pb.PutResponse:  # noqa: N802
        return pb.PutResponse(index=len(request.value))


async def main(address: str) -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    raft_pb2_grpc.add_KeyValueServicer_to_server(Echo(), server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
