"""A reference model of sessions (dissertation §6.3): which commands of the committed entries take effect.

The model is the oracle for `raft_pkg.server.sessions`, so it shares no code with it. It keeps everything and has no
limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.rpc import raft_pb2 as pb


@dataclass(slots=True)
class _Session:
    ttl_ms: int
    used_ms: int
    acknowledged: int = 1
    applied: set[int] = field(default_factory=set)


class SessionModel:
    """All sessions that were ever opened, as of the newest entry."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._sessions: list[_Session] = []

    def effects_of(self, entry: Entry) -> Sequence[bytes]:
        """Return the commands of the next committed entry that take effect, in order."""
        if entry.kind is EntryKind.OPEN_SESSION:
            request = pb.OpenSession.FromString(entry.data)
            self._now_ms = max(self._now_ms, request.time_ms)
            self._sessions.append(_Session(request.ttl_ms, self._now_ms))
        if entry.kind is not EntryKind.COMMANDS:
            return ()
        entry_body = pb.CommandEntry.FromString(entry.data)
        self._now_ms = max(self._now_ms, entry_body.time_ms)
        return [
            command
            for batch in entry_body.batches
            for sequence, command in enumerate(batch.commands, batch.first_sequence)
            if self._takes_effect(batch.session_id, sequence, batch.acknowledged)
        ]

    def _takes_effect(self, session_id: int, sequence: int, acknowledged: int) -> bool:
        if not session_id:
            return True
        if session_id > len(self._sessions):
            return False
        session = self._sessions[session_id - 1]
        if self._now_ms - session.used_ms > session.ttl_ms:
            return False  # log time never goes back, so the session stays expired
        session.used_ms = self._now_ms
        session.acknowledged = max(session.acknowledged, acknowledged)
        if sequence in session.applied or sequence < session.acknowledged:
            return False
        session.applied.add(sequence)
        return True
