"""Client sessions: apply a command once, however often it is sent (dissertation §6.3).

The sessions are part of the replicated state: they depend only on the log, so that all nodes agree on what was applied,
with what result, and which sessions have expired. Snapshots contain them. Time is log time: the greatest wall-clock
time that a leader has written into an entry. The limits below and those in `raft_pkg.rpc.requests` affect what is
applied, so they must be equal on all nodes.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from raft_pkg.chunks import ChunkReader
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import SESSION_RESPONSE_BYTES_MAX, SESSION_RESPONSES_MAX
from raft_pkg.server.applied import Applied
from raft_pkg.server.state_hash import DIGEST_BYTES, StateHash
from raft_pkg.server.state_machine import StateMachine

SESSIONS_MAX = 10_000
"""Limit on open sessions; opening one more ends the least recently used session."""
CHUNK_BYTES = 64 * 1024
"""Size at which a chunk of a snapshot is yielded."""

_MAGIC = b"raft sessions 3\n"
_HEADER = struct.Struct(f">{DIGEST_BYTES}sQQI")  # state hash, log time, last session's id, number of sessions
_SESSION = struct.Struct(">QQQQI")  # id, ttl, last use, acknowledged, number of responses
_RESPONSE = struct.Struct(">QQI")  # sequence, index, length of the result


def _all_applied(results: Iterable[bytes], index: int) -> list[Applied]:
    """Return the outcomes of an entry's commands. Commands with an empty result, like most writes, share one object."""
    empty = Applied(b"", index)
    return [Applied(result, index) if result else empty for result in results]


_EXPIRED = Applied(b"", 0, expired=True)
_ABOVE_ALL = 2**64  # greater than any sequence number


@dataclass(slots=True)
class _Session:
    ttl_ms: int
    used_ms: int  # log time of the newest command
    acknowledged: int = 1  # low-water mark: the client has the outcomes of all lower sequence numbers
    newest: int = 0  # greatest recorded sequence number
    responses: dict[int, Applied] = field(default_factory=dict)  # by sequence number, in order of application
    response_bytes: int = 0  # total size of the results
    captured: bool = False  # whether a snapshot shares `responses`, so that they are copied before the next change

    def expired(self, now_ms: int) -> bool:
        return now_ms - self.used_ms > self.ttl_ms

    def full(self) -> bool:
        return len(self.responses) >= SESSION_RESPONSES_MAX or self.response_bytes >= SESSION_RESPONSE_BYTES_MAX

    def accepts_all(self, batch: pb.CommandBatch) -> bool:
        """Return whether all commands of the batch are new and fit into the session: the common case."""
        return (
            batch.first_sequence > self.newest
            and batch.first_sequence >= max(self.acknowledged, batch.acknowledged)
            and len(self.responses) + len(batch.commands) <= SESSION_RESPONSES_MAX
            and self.response_bytes < SESSION_RESPONSE_BYTES_MAX
        )

    def record_all(self, batch: pb.CommandBatch, responses: Sequence[Applied]) -> None:
        """Record the outcomes of a batch of new commands."""
        if batch.acknowledged > self.acknowledged:
            self._forget(batch.acknowledged)
        self.responses.update(enumerate(responses, batch.first_sequence))
        self.response_bytes += sum([len(response.result) for response in responses])
        self.newest = batch.first_sequence + len(responses) - 1

    def record(self, sequence: int, response: Applied) -> None:
        """Record the outcome of a new command, whose result follows."""
        self.responses[sequence] = response
        self.newest = max(self.newest, sequence)

    def recorded(self, sequence: int, acknowledged: int) -> Applied | None:
        """Return the outcome of a repeated command; None if the command is new and has to be applied."""
        if acknowledged > self.acknowledged:
            self._forget(acknowledged)
        response = self.responses.get(sequence)
        return _EXPIRED if response is None and sequence < self.acknowledged else response

    def end(self) -> None:
        """Expire the session: all further commands get SESSION_EXPIRED."""
        self._forget(_ABOVE_ALL)

    def _forget(self, below: int) -> None:
        """Drop the outcomes of lower sequence numbers, which the client has acknowledged."""
        if below - self.acknowledged <= len(self.responses):
            forgotten = list(range(self.acknowledged, below))
        else:
            forgotten = [sequence for sequence in self.responses if sequence < below]
        for sequence in forgotten:
            if (response := self.responses.pop(sequence, None)) is not None:
                self.response_bytes -= len(response.result)
        self.acknowledged = below


class SessionedMachine:
    """The application's state machine with sessions in front of it. One task calls it, entry by entry."""

    def __init__(self, machine: StateMachine) -> None:
        self.state_hash = StateHash()
        """Digest of all applied entries. The caller of `apply` adds each entry; snapshots contain the digest."""
        self._machine = machine
        self._now_ms = 0
        self._last_id = 0
        self._sessions: OrderedDict[int, _Session] = OrderedDict()  # by id, least recently used first

    def apply(self, entry: pb.CommandEntry, index: int) -> list[Applied]:
        """Apply the commands of the entry at `index`; return their outcomes in order.

        A command without a session is always applied. A command of a session is applied once per sequence number, and
        the numbers may arrive in any order; a repetition gets the recorded outcome.
        """
        self._advance(entry.time_ms)
        if len(entry.batches) == 1:
            return self._apply_batch(entry.batches[0], index)
        return [applied for batch in entry.batches for applied in self._apply_batch(batch, index)]

    def open_session(self, request: pb.OpenSession) -> int:
        """Open a session; return its id, which is never reused."""
        self._advance(request.time_ms)
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)
        self._last_id += 1
        self._sessions[self._last_id] = _Session(request.ttl_ms, self._now_ms)
        return self._last_id

    def query(self, query: bytes) -> bytes:
        """Answer a read without changing the state."""
        return self._machine.query(query)

    def snapshot(self) -> Iterator[bytes]:
        """Capture sessions and application; see `StateMachine.snapshot`."""
        header = _HEADER.pack(self.state_hash.digest, self._now_ms, self._last_id, len(self._sessions))
        sessions = []
        for session_id, session in self._sessions.items():
            session.captured = True
            encoded = _SESSION.pack(
                session_id, session.ttl_ms, session.used_ms, session.acknowledged, len(session.responses)
            )
            sessions.append((encoded, session.responses))
        return _serialize(header, sessions, self._machine.snapshot())

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state by a snapshot. Raise `ValueError`; the state is invalid then."""
        reader = ChunkReader(chunks)
        if reader.take(len(_MAGIC), "the sessions' header") != _MAGIC:
            raise ValueError(f"offset 0: not in the format {_MAGIC!r}")
        header = _HEADER.unpack(reader.take(_HEADER.size, "the sessions' header"))
        self.state_hash.digest, self._now_ms, self._last_id, count = header
        self._sessions = OrderedDict()
        for _ in range(count):
            self._restore_session(reader)
        self._machine.restore(reader.rest())

    def _apply_batch(self, batch: pb.CommandBatch, index: int) -> list[Applied]:
        if not batch.session_id:
            return _all_applied(self._machine.apply(batch.commands), index)
        session = self._use(batch.session_id)
        if session is None:
            return [_EXPIRED] * len(batch.commands)
        if not session.accepts_all(batch):
            return self._apply_one_by_one(session, batch, index)
        applied = _all_applied(self._machine.apply(batch.commands), index)
        session.record_all(batch, applied)
        return applied

    def _apply_one_by_one(self, session: _Session, batch: pb.CommandBatch, index: int) -> list[Applied]:
        applied: list[Applied] = []
        fresh: list[tuple[int, Applied]] = []
        commands: list[bytes] = []
        for sequence, command in enumerate(batch.commands, batch.first_sequence):
            response = session.recorded(sequence, batch.acknowledged)
            if response is None and session.full():
                session.end()
                del self._sessions[batch.session_id]
                response = _EXPIRED
            if response is None:
                response = Applied(b"", index)  # the result follows
                session.record(sequence, response)
                fresh.append((sequence, response))
                commands.append(command)
            applied.append(response)
        for (sequence, response), result in zip(fresh, self._machine.apply(commands), strict=True):
            response.result = result
            if sequence >= session.acknowledged:  # else a later command has ended the session
                session.response_bytes += len(result)
        return applied

    def _restore_session(self, reader: ChunkReader) -> None:
        offset = reader.offset
        session_id, ttl_ms, used_ms, acknowledged, count = _SESSION.unpack(reader.take(_SESSION.size, "a session"))
        if not 0 < session_id <= self._last_id or session_id in self._sessions:
            raise ValueError(f"offset {offset}: invalid or repeated session id {session_id}")
        responses: dict[int, Applied] = {}
        for _ in range(count):
            sequence, index, size = _RESPONSE.unpack(reader.take(_RESPONSE.size, "a response"))
            responses[sequence] = Applied(reader.take(size, "a result"), index)
        size = sum(len(response.result) for response in responses.values())
        newest = max(responses, default=0)
        self._sessions[session_id] = _Session(ttl_ms, used_ms, acknowledged, newest, responses, size)

    def _advance(self, time_ms: int) -> None:
        """Advance log time, which never goes back, and remove expired sessions from the least recently used one on.

        Sessions may have different times to live, so an expired one may stay behind a valid one; `_use` rejects it.
        """
        if time_ms <= self._now_ms:
            return
        self._now_ms = time_ms
        while self._sessions and next(iter(self._sessions.values())).expired(time_ms):
            self._sessions.popitem(last=False)

    def _use(self, session_id: int) -> _Session | None:
        """Return the session and mark it as the most recently used; None if it does not exist or has expired."""
        session = self._sessions.get(session_id)
        if session is None or session.expired(self._now_ms):
            return None
        session.used_ms = self._now_ms
        self._sessions.move_to_end(session_id)
        if session.captured:
            session.responses = session.responses.copy()
            session.captured = False
        return session


def _serialize(
    header: bytes, sessions: list[tuple[bytes, dict[int, Applied]]], machine: Iterator[bytes]
) -> Iterator[bytes]:
    chunk = bytearray(_MAGIC + header)
    for encoded, responses in sessions:
        chunk += encoded
        for sequence, response in responses.items():
            chunk += _RESPONSE.pack(sequence, response.index, len(response.result))
            chunk += response.result
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
    yield bytes(chunk)
    yield from machine
