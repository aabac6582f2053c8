"""`raftctl log …`: look at a node's log on disk, without changing it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from raft_pkg.storage import InspectedRecord

app = typer.Typer(help="Look at a node's log on disk; nothing in it is changed.", no_args_is_help=True)

DataDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="The data directory of a node.")]


@app.command()
def verify(directory: DataDirectory, as_json: Json = False) -> None:
    """Read all of it, as a node does when it starts; exit status 2, naming file and offset, when it is damaged."""
    from raft_pkg.storage import verify_directory  # noqa: PLC0415

    report = verify_directory(directory)
    found = {
        "node": report.node_id,
        "segments": report.segments,
        "term": report.hard_state.current_term,
        "voted_for": report.hard_state.voted_for,
        "last_log_index": report.last_index,
        "last_log_term": report.last_term,
        "torn_bytes": report.torn_bytes,
    }
    if as_json:
        print_json({"dir": str(directory), **found})
        return
    print_line(f"{directory}: sound")
    print_table(("what", "value"), [(name.replace("_", " "), value) for name, value in found.items()])


@app.command()
def inspect(directory: DataDirectory, as_json: Json = False) -> None:
    """Show every record in the order of writing, replaced ones too; with --json one object a line."""
    from raft_pkg.storage import inspect_directory  # noqa: PLC0415

    for record in inspect_directory(directory):
        members = _members(record)
        if as_json:
            print_json(members)
        else:
            print_line("  ".join(f"{name} {'-' if value is None else value}" for name, value in members.items()))


def _members(record: "InspectedRecord") -> dict[str, Any]:
    from raft_pkg.core.types import HardState  # noqa: PLC0415

    place: dict[str, Any] = {"file": record.file.name, "offset": record.offset, "bytes": record.size}
    value = record.value
    if isinstance(value, HardState):
        return {**place, "record": "hard_state", "term": value.current_term, "voted_for": value.voted_for}
    kind = value.kind.name.lower()
    return {**place, "record": "entry", "index": value.index, "term": value.term, "kind": kind, "data": len(value.data)}
