"""A key-value store as a deterministic state machine: same commands in the same order, same state and answers.

It knows nothing of Raft. Commands, queries and results are serialized messages of raft.proto (`KvCommand`,
`KvQuery`, `KvResult`).
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from raft_pkg.kv.limits import check_key, check_value
from raft_pkg.rpc import raft_pb2 as pb


class KeyValueStore:
    """Strings to bytes, in memory. A command that is malformed or breaks a limit changes nothing and says so."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Apply serialized `KvCommand`s in order; returns a serialized `KvResult` for each."""
        return [self._apply_one(command) for command in commands]

    def query(self, query: bytes) -> bytes:
        """Answer a serialized `KvQuery` with a serialized `KvResult`; changes nothing."""
        try:
            key = pb.KvQuery.FromString(query).get.key
            check_key(key)
        except (DecodeError, ValueError) as error:
            return pb.KvResult(error=str(error)).SerializeToString()
        value = self._values.get(key)
        return pb.KvResult(found=value is not None, value=value).SerializeToString()

    def _apply_one(self, command: bytes) -> bytes:
        try:
            result = self._execute(pb.KvCommand.FromString(command))
        except (DecodeError, ValueError) as error:
            result = pb.KvResult(error=str(error))
        return result.SerializeToString()

    def _execute(self, command: pb.KvCommand) -> pb.KvResult:
        match command.WhichOneof("body"):
            case "put":
                return self._put(command.put)
            case "delete":
                return self._delete(command.delete)
            case "compare_and_set":
                return self._compare_and_set(command.compare_and_set)
            case "append":
                return self._append(command.append)
        raise ValueError("the command has a body that this version does not know")

    def _put(self, body: pb.PutRequest) -> pb.KvResult:
        check_key(body.key)
        check_value(body.key, body.value)
        self._values[body.key] = body.value
        return pb.KvResult()

    def _delete(self, body: pb.DeleteRequest) -> pb.KvResult:
        check_key(body.key)
        return pb.KvResult(found=self._values.pop(body.key, None) is not None)

    def _compare_and_set(self, body: pb.CompareAndSetRequest) -> pb.KvResult:
        check_key(body.key)
        check_value(body.key, body.value)
        current = self._values.get(body.key)
        expected = body.expected if body.HasField("expected") else None
        if current != expected:
            return pb.KvResult(found=False, value=current)
        self._values[body.key] = body.value
        return pb.KvResult(found=True)

    def _append(self, body: pb.AppendRequest) -> pb.KvResult:
        check_key(body.key)
        value = self._values.get(body.key, b"") + body.value
        check_value(body.key, value)
        self._values[body.key] = value
        return pb.KvResult(length=len(value))
