"""Encodes commands and queries of the key-value store, and decodes their results."""

from dataclasses import dataclass

from raft_pkg.client.operation import OperationResult
from raft_pkg.errors import InvalidOperationError
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.limits import check_key, check_value

Value = bytes | str
"""A value to write. Text is stored as UTF-8; reads return bytes."""


@dataclass(frozen=True, slots=True)
class CompareAndSetResult:
    """The result of a compare-and-set. True if the value was set."""

    succeeded: bool
    current: bytes | None
    """The value that was found if the comparison failed; None if the key was absent, and on success."""
    index: int
    """Log index at which the comparison was made."""

    def __bool__(self) -> bool:
        return self.succeeded


def put_command(key: str, value: Value) -> bytes:
    data = _checked(key, value)
    command = kv.KvCommand()  # filled in place: copying a finished request takes twice as long
    command.put.key = key
    command.put.value = data
    return command.SerializeToString()


def get_query(key: str) -> bytes:
    _check_key(key)
    query = kv.KvQuery()
    query.get.key = key
    return query.SerializeToString()


def delete_command(key: str) -> bytes:
    _check_key(key)
    return kv.KvCommand(delete=kv.DeleteRequest(key=key)).SerializeToString()


def compare_and_set_command(key: str, expected: Value | None, value: Value) -> bytes:
    data = _checked(key, value)
    request = kv.CompareAndSetRequest(key=key, expected=_as_bytes(expected), value=data)
    return kv.KvCommand(compare_and_set=request).SerializeToString()


def append_command(key: str, value: Value) -> bytes:
    data = _checked(key, value)
    return kv.KvCommand(append=kv.AppendRequest(key=key, value=data)).SerializeToString()


def decode_result(executed: OperationResult) -> kv.KvResult:
    """Return the result of the store. Raise `InvalidOperationError` if the store rejected the operation."""
    result = kv.KvResult.FromString(executed.data)
    if result.error:
        raise InvalidOperationError(result.error)
    return result


def _checked(key: str, value: Value) -> bytes:
    _check_key(key)
    data = value.encode() if isinstance(value, str) else value
    try:
        check_value(key, data)
    except ValueError as error:
        raise InvalidOperationError(str(error)) from None
    return data


def _check_key(key: str) -> None:
    try:
        check_key(key)
    except ValueError as error:
        raise InvalidOperationError(str(error)) from None


def _as_bytes(value: Value | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
