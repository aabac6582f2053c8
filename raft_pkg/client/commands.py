"""The key-value store's language as the client speaks it: commands and queries out, results in."""

from dataclasses import dataclass

from raft_pkg.client.operation import Answer
from raft_pkg.errors import InvalidOperationError
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.kv.limits import check_key, check_value

Value = bytes | str
"""What a write takes; text is stored as UTF-8. Reads return bytes."""


@dataclass(frozen=True, slots=True)
class CompareAndSetResult:
    """What a compare-and-set did; true when it set the value."""

    succeeded: bool
    current: bytes | None  # when it did not succeed: the value found, None when the key was absent
    index: int  # log index at which the comparison was made

    def __bool__(self) -> bool:
        return self.succeeded


def put_command(key: str, value: Value) -> bytes:
    data = _checked(key, value)
    command = kv.KvCommand()  # filled in place: half of what it takes to copy a request that was made before
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


def result_of(answer: Answer) -> kv.KvResult:
    """The state machine's answer; raises InvalidOperationError when it refused the command."""
    result = kv.KvResult.FromString(answer.result)
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
