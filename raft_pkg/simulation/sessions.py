"""Sessions as the dissertation has them (§6.3), in the plainest form: which commands of an entry take effect.

A judge of `raft_pkg.server.sessions`, so it shares nothing with it.
"""

from collections.abc import Sequence

from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.rpc import raft_pb2 as pb


class SessionModel:
    """All sessions that there ever were, as of the newest entry."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._opened = 0
        self._ttl_ms: dict[int, int] = {}
        self._used_ms: dict[int, int] = {}
        self._ended: set[int] = set()
        self._applied: set[tuple[int, int]] = set()
        self._acknowledged: dict[int, int] = {}

    def effects_of(self, entry: Entry) -> Sequence[bytes]:
        """The commands of the next committed entry that take effect, in order."""
        match entry.kind:
            case EntryKind.OPEN_SESSION:
                self._open(pb.OpenSession.FromString(entry.data))
            case EntryKind.COMMANDS:
                batch = pb.CommandBatch.FromString(entry.data)
                self._pass_time(batch.time_ms)
                if not batch.session_ids:
                    return batch.commands
                numbers = zip(batch.session_ids, batch.sequences, batch.acknowledged, strict=True)
                return [
                    command
                    for command, (session_id, sequence, acknowledged) in zip(batch.commands, numbers, strict=True)
                    if self._takes_effect(session_id, sequence, acknowledged)
                ]
        return ()

    def _open(self, request: pb.OpenSession) -> None:
        self._pass_time(request.time_ms)
        self._opened += 1
        self._ttl_ms[self._opened] = request.ttl_ms
        self._used_ms[self._opened] = self._now_ms

    def _takes_effect(self, session_id: int, sequence: int, acknowledged: int) -> bool:
        if not session_id:
            return True
        if session_id not in self._ttl_ms or session_id in self._ended:
            return False
        self._used_ms[session_id] = self._now_ms
        mark = self._acknowledged[session_id] = max(acknowledged, self._acknowledged.get(session_id, 1))
        if (session_id, sequence) in self._applied or sequence < mark:
            return False
        self._applied.add((session_id, sequence))
        return True

    def _pass_time(self, time_ms: int) -> None:
        self._now_ms = max(self._now_ms, time_ms)
        for session_id, used_ms in self._used_ms.items():
            if self._now_ms - used_ms > self._ttl_ms[session_id]:
                self._ended.add(session_id)
