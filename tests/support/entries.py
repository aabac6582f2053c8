"""Data of log entries."""

from collections.abc import Iterable

from raft_pkg.rpc import raft_pb2 as pb


def command_entry(commands: Iterable[tuple[bytes, int, int, int]], time_ms: int = 0) -> pb.CommandEntry:
    """Return an entry with commands, each given as (command, session id, sequence number, acknowledged).

    Consecutive commands of a session share a batch, as in the entries of a leader.
    """
    entry = pb.CommandEntry(time_ms=time_ms)
    batch = None
    for command, session_id, sequence, acknowledged in commands:
        follows = batch is not None and (session_id, acknowledged, sequence) == (
            batch.session_id,
            batch.acknowledged,
            batch.first_sequence + (len(batch.commands) if session_id else 0),
        )
        if batch is None or not follows:
            batch = entry.batches.add(session_id=session_id, first_sequence=sequence, acknowledged=acknowledged)
        batch.commands.append(command)
    return entry
