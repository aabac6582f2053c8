"""What log entries hold."""

from collections.abc import Iterable

from raft_pkg.rpc import raft_pb2 as pb


def command_batch(commands: Iterable[tuple[bytes, int, int, int]], time_ms: int = 0) -> pb.CommandEntry:
    """Commands, each with its session, its number there and the mark below which answers are not needed.

    In as few rows as say it, as a leader makes them.
    """
    batch = pb.CommandEntry(time_ms=time_ms)
    row = None
    for command, session_id, sequence, acknowledged in commands:
        follows = row is not None and (session_id, acknowledged, sequence) == (
            row.session_id,
            row.acknowledged,
            row.first_sequence + (len(row.commands) if session_id else 0),
        )
        if row is None or not follows:
            row = batch.batches.add(session_id=session_id, first_sequence=sequence, acknowledged=acknowledged)
        row.commands.append(command)
    return batch
