"""Output of commands. Values are printed verbatim, never interpreted as markup."""

import base64
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def print_json(content: dict[str, Any]) -> None:
    """Print an object on one line, in ASCII, which every locale can encode."""
    sys.stdout.write(json.dumps(content) + "\n")


def print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, never truncated to the width of the terminal, so that cells can be copied."""
    from rich.console import Console  # noqa: PLC0415 - slow, and unused by most commands
    from rich.measure import Measurement  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console = Console()
    width = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    Console(width=max(width, 1)).print(table)


def print_bytes(value: bytes) -> None:
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()


def note(line: str) -> None:
    """Print a message for people on stderr."""
    sys.stderr.write(f"raftctl: {line}\n")


def from_argument(argument: str) -> bytes:
    """Return the bytes of an argument, which need not be valid UTF-8."""
    return os.fsencode(argument)


def value_members(name: str, value: bytes | None) -> dict[str, str | None]:
    """Return a value as a JSON member: as text, or in Base64 as `<name>_base64` if it is not valid UTF-8."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
