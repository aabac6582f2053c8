"""The request that h2load sends to etcd."""

import struct

import pytest

from raft_pkg.kv import kv_pb2 as kv
from tests.benchmarks.systems.etcd import _framed, _put_message


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_a_put_has_grpc_framing_and_protobuf_encoding(size):
    value = bytes(range(256)) * (size // 256 + 1)
    body = _framed(_put_message(b"key", value[:size]))
    compressed, length = struct.unpack(">BI", body[:5])
    message = kv.PutRequest.FromString(body[5:])  # the same fields as etcd's message
    assert (compressed, length) == (0, len(body) - 5)
    assert (message.key, message.value) == ("key", value[:size])
