"""`raftctl log …`: verify and show a node's log and snapshot on disk, read-only."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raft_pkg.cli.options import Json
from raft_pkg.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from raft_pkg.core.configuration import Configuration, Member
    from raft_pkg.core.types import Entry, SnapshotMetadata
    from raft_pkg.storage import InspectedRecord

app = typer.Typer(help="Verify and show a node's log and snapshot on disk; read-only.", no_args_is_help=True)

DataDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="The data directory of a node.")]


@app.command()
def verify(directory: DataDirectory, as_json: Json = False) -> None:
    """Read everything, as a node does when it starts. Exit status 2, with file and offset, if it is damaged."""
    from raft_pkg.storage import verify_directory  # noqa: PLC0415

    report = verify_directory(directory)
    snapshot = None if report.snapshot is None else _snapshot(report.snapshot)
    found = {
        "node": report.node_id,
        "incarnation": report.incarnation,
        "snapshot": snapshot,
        "segments": report.segments,
        "term": report.hard_state.current_term,
        "voted_for": report.hard_state.voted_for,
        "first_log_index": report.base_index + 1,
        "last_log_index": report.last_index,
        "last_log_term": report.last_term,
        "torn_bytes": report.torn_bytes,
    }
    if as_json:
        print_json({"dir": str(directory), **found})
        return
    if snapshot is not None:
        found["snapshot"] = _line(snapshot)
    print_line(f"{directory}: ok")
    print_table(("what", "value"), [(name.replace("_", " "), value) for name, value in found.items()])


@app.command()
def inspect(directory: DataDirectory, as_json: Json = False) -> None:
    """Show the snapshot and every record in write order, replaced ones included; with --json one object per line."""
    from raft_pkg.storage import inspect_directory  # noqa: PLC0415

    for record in inspect_directory(directory):
        found = _record(record)
        if as_json:
            print_json(found)
        else:
            print_line(_line(found))


def _record(record: "InspectedRecord") -> dict[str, Any]:
    from raft_pkg.core.types import Entry, HardState  # noqa: PLC0415
    from raft_pkg.storage import LogStart  # noqa: PLC0415

    position: dict[str, Any] = {"file": record.file.name, "offset": record.offset, "bytes": record.size}
    value = record.value
    match value:
        case HardState():
            return {**position, "record": "hard_state", "term": value.current_term, "voted_for": value.voted_for}
        case Entry():
            return {**position, "record": "entry", **_entry(value)}
        case LogStart():
            return {**position, "record": "begin", "after_index": value.index, "after_term": value.term}
    return {**position, "record": "snapshot", **_snapshot(value)}


def _entry(entry: "Entry") -> dict[str, Any]:
    from raft_pkg.core.configuration import Configuration  # noqa: PLC0415
    from raft_pkg.core.types import EntryKind  # noqa: PLC0415

    found: dict[str, Any] = {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.name.lower(),
        "data": len(entry.data),
    }
    if entry.kind is EntryKind.CONFIGURATION:
        try:
            found["members"] = _members(Configuration.decode(entry.data))
        except ValueError:
            found["members"] = None
    return found


def _snapshot(metadata: "SnapshotMetadata") -> dict[str, Any]:
    return {
        "index": metadata.index,
        "term": metadata.term,
        "size": metadata.size,
        "checksum": f"{metadata.checksum:08x}",
        "members": _members(metadata.configuration),
    }


def _members(configuration: "Configuration") -> dict[str, Any]:
    def described(members: "tuple[Member, ...]") -> list[dict[str, Any]]:
        return [{"id": m.node_id, "address": m.address, "incarnation": m.incarnation} for m in members]

    return {
        "voters": described(configuration.voters),
        "learners": described(configuration.learners),
        "outgoing": described(configuration.outgoing),
        "to_promote": list(configuration.to_promote),
    }


def _line(found: dict[str, Any]) -> str:
    return "  ".join(f"{name} {_format(name, value)}" for name, value in found.items())


def _format(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name != "members":
        return str(value)
    groups = ((group, [m if group == "to_promote" else m["id"] for m in members]) for group, members in value.items())
    return "; ".join(f"{group.replace('_', ' ')} {', '.join(ids)}" for group, ids in groups if ids) or "none"
