"""`raftctl put|get|delete|cas|append`: single operations on the key-value store."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raft_pkg.cli import EXIT_NO, exit_status
from raft_pkg.cli.options import Endpoints, Json, Timeout
from raft_pkg.cli.output import from_argument, note, print_bytes, print_json, print_line, value_members
from raft_pkg.errors import ConfigurationError, InvalidOperationError, OperationError, OutcomeUnknownError

if TYPE_CHECKING:
    from raft_pkg.client import AsyncRaftClient

Result = TypeVar("Result")

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False)]
OptionalValue = Annotated[str | None, typer.Argument(metavar="[VALUE]", show_default=False)]
ValueFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", allow_dash=True, help="Read the value from a file, or from stdin if FILE is -."),
]


def register(app: typer.Typer) -> None:
    for command in (put, get, delete, cas, append):
        app.command()(command)


def put(
    key: Key,
    *,
    endpoints: Endpoints,
    value: OptionalValue = None,
    value_file: ValueFile = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Set the value of a key."""
    data = _value(value, value_file)
    index = _execute(endpoints, key, as_json, lambda client: client.put(key, data, timeout=timeout))
    if as_json:
        print_json({"key": key, "ok": True, "index": index})


def get(
    key: Key,
    *,
    endpoints: Endpoints,
    any_node: Annotated[
        bool, typer.Option("--any-node", help="Let any node execute the read, instead of the leader.")
    ] = False,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Print the value of a key. Exit status 1 if the key is absent."""
    value = _execute(endpoints, key, as_json, lambda client: client.get(key, any_node=any_node, timeout=timeout))
    if as_json:
        print_json({"key": key, "ok": True, "found": value is not None, **value_members("value", value)})
    elif value is not None:
        print_bytes(value)
    if value is None:
        _no_such_key(key, as_json)


def delete(key: Key, endpoints: Endpoints, timeout: Timeout = 5.0, as_json: Json = False) -> None:
    """Delete a key. Exit status 1 if it was absent."""
    existed = _execute(endpoints, key, as_json, lambda client: client.delete(key, timeout=timeout))
    if as_json:
        print_json({"key": key, "ok": True, "existed": existed})
    if not existed:
        _no_such_key(key, as_json)


def cas(
    key: Key,
    *,
    endpoints: Endpoints,
    values: Annotated[list[str], typer.Argument(metavar="[OLD] NEW", show_default=False)],
    absent: Annotated[bool, typer.Option("--absent", help="Set the value if the key is absent; omit OLD.")] = False,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Compare and set: set the value of a key if its value is OLD. Exit status 1 if it is not."""
    if len(values) != (1 if absent else 2):
        raise ConfigurationError("cas takes KEY OLD NEW, or --absent KEY NEW")
    old = None if absent else from_argument(values[0])
    new = from_argument(values[-1])
    result = _execute(endpoints, key, as_json, lambda client: client.compare_and_set(key, old, new, timeout=timeout))
    if as_json:
        found = {} if result else value_members("current", result.current)
        print_json({"key": key, "ok": True, "succeeded": result.succeeded, "index": result.index, **found})
    elif not result:
        current = "the key is absent" if result.current is None else f"its value is {_quote(result.current)}"
        note(f"cas of key {key!r}: {current}")
    if not result:
        raise typer.Exit(EXIT_NO)


def append(
    key: Key,
    *,
    endpoints: Endpoints,
    value: OptionalValue = None,
    value_file: ValueFile = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Append to the value of a key, and print its new length in bytes. An absent key is created."""
    data = _value(value, value_file)
    length = _execute(endpoints, key, as_json, lambda client: client.append(key, data, timeout=timeout))
    if as_json:
        print_json({"key": key, "ok": True, "length": length})
    else:
        print_line(str(length))


def _execute(
    endpoints: str, key: str, as_json: bool, operation: Callable[["AsyncRaftClient"], Awaitable[Result]]
) -> Result:
    """Execute one operation. With --json, print an error as JSON as well."""
    from raft_pkg.client import AsyncRaftClient  # noqa: PLC0415

    async def run() -> Result:
        async with AsyncRaftClient(endpoints) as client:
            return await operation(client)

    try:
        return asyncio.run(run())
    except OperationError as error:
        if as_json:
            print_json(_error_members(key, error))
            sys.stderr.write(f"raftctl: {error}\n")
            raise typer.Exit(exit_status(error)) from None
        raise


def _error_members(key: str, error: OperationError) -> dict[str, Any]:
    outcomes = {OutcomeUnknownError: "unknown", InvalidOperationError: "invalid"}
    return {"key": key, "ok": False, "outcome": outcomes.get(type(error), "failed"), "error": str(error)}


def _value(value: str | None, value_file: Path | None) -> bytes:
    if (value is None) == (value_file is None):
        raise ConfigurationError("give either VALUE or --value-file")
    if value is not None:
        return from_argument(value)
    assert value_file is not None
    if str(value_file) == "-":
        return sys.stdin.buffer.read()
    try:
        return value_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--value-file {value_file}: {error.strerror}") from None


def _no_such_key(key: str, as_json: bool) -> None:
    if not as_json:
        note(f"no such key: {key!r}")
    raise typer.Exit(EXIT_NO)


def _quote(value: bytes) -> str:
    try:
        return repr(value.decode())
    except UnicodeDecodeError:
        return repr(value)
