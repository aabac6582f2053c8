"""A unary server that acknowledges a put and stores nothing: a lower bound for the cost of such a call."""

import asyncio
import sys

import grpc
import grpc.aio

from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc.options import SERVER_OPTIONS


async def _put(request: kv.PutRequest, _context: object) -> kv.PutResponse:
    return kv.PutResponse(index=len(request.value))


async def main(address: str) -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    put = grpc.unary_unary_rpc_method_handler(
        _put, request_deserializer=kv.PutRequest.FromString, response_serializer=kv.PutResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("raft.kv.v1.KeyValue", {"Put": put})])
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
