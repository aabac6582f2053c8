"""What commands print. Values are the user's: they are printed as they are, never as markup."""

import base64
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(content: dict[str, Any]) -> None:
    """One object on one line, in ASCII, so that any locale can carry it."""
    sys.stdout.write(json.dumps(content) + "\n")


def print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table that is never cut: what is in it gets copied."""
    from rich.console import Console  # noqa: PLC0415 - it costs time, and most commands need none
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console = Console()
    wanted = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    Console(width=max(wanted, 1)).print(table)


def print_bytes(value: bytes) -> None:
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()


def note(line: str) -> None:
    """Something for people, on stderr."""
    sys.stderr.write(f"raftctl: {line}\n")


def from_argument(argument: str) -> bytes:
    """The bytes that the caller wrote, also when they are not text."""
    return os.fsencode(argument)


def value_members(name: str, value: bytes | None) -> dict[str, str | None]:
    """A value as JSON members: as text, or as `<name>_base64` when it isn't text."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
