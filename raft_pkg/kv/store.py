"""A key-value store as a deterministic state machine: equal commands in equal order give equal states and results.

It does not depend on Raft. Commands, queries and results are serialized messages of kv.proto (`KvCommand`, `KvQuery`,
`KvResult`).

A snapshot consists of a header, blocks, and a block of length 0. A block is its length followed by records; a record is
the lengths of key and value, the key in UTF-8, and the value. Lengths are 32 bits, big-endian. Records are in the order
in which the keys were created, which is the same on every node; `restore` preserves it.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError

from raft_pkg.chunks import ChunkReader
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.limits import MAX_KEY_BYTES, MAX_VALUE_BYTES, check_key, check_value

BLOCK_BYTES = 64 * 1024
"""Size at which a block of a snapshot is complete."""

_MAGIC = b"raft key-values 2\n"
_BLOCK = struct.Struct(">I")  # length of the records
_RECORD = struct.Struct(">II")  # length of the key, of the value
_EMPTY_RESULT = kv.KvResult().SerializeToString()
_BLOCK_BYTES_MAX = BLOCK_BYTES + _RECORD.size + MAX_KEY_BYTES + MAX_VALUE_BYTES


class KeyValueStore:
    """A map from strings to bytes, in memory. An invalid command changes nothing; its result has an error."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Apply serialized `KvCommand`s in order; return a serialized `KvResult` for each."""
        try:  # takes half as long as parsing them one by one
            requests = kv.KvCommands.FromString(kv.SerializedCommands(commands=commands).SerializeToString()).commands
        except DecodeError:
            return [self._parse_and_apply(command) for command in commands]
        return [self._apply_one(request) for request in requests]

    def query(self, query: bytes) -> bytes:
        """Answer a serialized `KvQuery` with a serialized `KvResult`; change nothing."""
        try:
            key = kv.KvQuery.FromString(query).get.key
            check_key(key)
        except (DecodeError, ValueError) as error:
            return kv.KvResult(error=str(error)).SerializeToString()
        value = self._values.get(key)
        return kv.KvResult(found=value is not None, value=value).SerializeToString()

    def snapshot(self) -> Iterator[bytes]:
        """Capture the values now; yield them as bytes later. See `raft_pkg.server.state_machine`."""
        return _serialize(self._values.copy())  # values are immutable

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace all values by those of a snapshot. Raise `ValueError`, and change nothing, for an invalid one."""
        reader = ChunkReader(chunks)
        if reader.take(len(_MAGIC), "the header") != _MAGIC:
            raise ValueError(f"offset 0: not in the format {_MAGIC!r}")
        values: dict[str, bytes] = {}
        while size := _BLOCK.unpack(reader.take(_BLOCK.size, "a block's length"))[0]:
            if size > _BLOCK_BYTES_MAX:
                raise ValueError(f"offset {reader.offset}: a block of {size} bytes, at most {_BLOCK_BYTES_MAX}")
            offset = reader.offset
            _restore_block(values, reader.take(size, "a block"), offset)
        reader.expect_end()
        self._values = values

    def _parse_and_apply(self, command: bytes) -> bytes:
        try:
            request = kv.KvCommand.FromString(command)
        except DecodeError as error:
            return kv.KvResult(error=str(error)).SerializeToString()
        return self._apply_one(request)

    def _apply_one(self, request: kv.KvCommand) -> bytes:
        try:
            body = request.WhichOneof("body")
            if body == "put":
                return self._put(request.put)
            result = self._execute(request, body)
        except ValueError as error:
            result = kv.KvResult(error=str(error))
        return result.SerializeToString()

    def _execute(self, command: kv.KvCommand, body: str | None) -> kv.KvResult:
        match body:
            case "delete":
                return self._delete(command.delete)
            case "compare_and_set":
                return self._compare_and_set(command.compare_and_set)
            case "append":
                return self._append(command.append)
        raise ValueError("the command has an unknown body")

    def _put(self, body: kv.PutRequest) -> bytes:
        key, value = body.key, body.value
        check_key(key)
        check_value(key, value)
        self._values[key] = value
        return _EMPTY_RESULT

    def _delete(self, body: kv.DeleteRequest) -> kv.KvResult:
        check_key(body.key)
        return kv.KvResult(found=self._values.pop(body.key, None) is not None)

    def _compare_and_set(self, body: kv.CompareAndSetRequest) -> kv.KvResult:
        check_key(body.key)
        check_value(body.key, body.value)
        current = self._values.get(body.key)
        expected = body.expected if body.HasField("expected") else None
        if current != expected:
            return kv.KvResult(found=False, value=current)
        self._values[body.key] = body.value
        return kv.KvResult(found=True)

    def _append(self, body: kv.AppendRequest) -> kv.KvResult:
        check_key(body.key)
        value = self._values.get(body.key, b"") + body.value
        check_value(body.key, value)
        self._values[body.key] = value
        return kv.KvResult(length=len(value))


def _serialize(values: dict[str, bytes]) -> Iterator[bytes]:
    yield _MAGIC
    block: list[bytes] = []
    size = 0
    for key, value in values.items():
        name = key.encode()
        block += (_RECORD.pack(len(name), len(value)), name, value)
        size += _RECORD.size + len(name) + len(value)
        if size >= BLOCK_BYTES:
            yield _BLOCK.pack(size) + b"".join(block)
            block.clear()
            size = 0
    if block:
        yield _BLOCK.pack(size) + b"".join(block)
    yield _BLOCK.pack(0)


def _restore_block(values: dict[str, bytes], block: bytes, offset: int) -> None:
    """Add the records of a block. `offset` is that of the block in the snapshot."""
    known = len(values)
    start, end, records = 0, len(block), 0
    while start < end:
        try:
            key_size, value_size = _RECORD.unpack_from(block, start)
            key_start = start + _RECORD.size
            value_start = key_start + key_size
            key = block[key_start:value_start].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"offset {offset + start}: invalid record: {error}") from None
        next_start = value_start + value_size
        if next_start > end or not 0 < key_size <= MAX_KEY_BYTES or value_size > MAX_VALUE_BYTES:
            raise ValueError(
                f"offset {offset + start}: invalid record with a key of {key_size} and a value of {value_size} bytes"
            )
        values[key] = block[value_start:next_start]
        start = next_start
        records += 1
    if len(values) != known + records:
        raise ValueError(f"offset {offset}: the block repeats a key")
