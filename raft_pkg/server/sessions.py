"""Clients' sessions: a command that is sent again is applied once (dissertation §6.3).

This is a replicated state machine around the application's: it sees the same entries on every node, and nothing else,
so all nodes agree on what was applied, what was answered, and which session has expired. Its state is part of the
snapshot. Time is log time: the greatest wall clock time that a leader wrote into an entry. The limits below, and those
in `raft_pkg/rpc/sessions.py`, decide what is applied: they are the same on all nodes, as the rest of the program is.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from raft_pkg.chunks import ChunkReader
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.sessions import SESSION_RESPONSE_BYTES_MAX, SESSION_RESPONSES_MAX
from raft_pkg.server.state_hash import DIGEST_BYTES, StateHash
from raft_pkg.server.state_machine import StateMachine

SESSIONS_MAX = 10_000
"""Opening one more ends the session that was not used for the longest time."""
CHUNK_BYTES = 64 * 1024
"""A chunk of a snapshot is handed over when it has reached so many bytes."""

_MAGIC = b"raft sessions 2\n"
_HEADER = struct.Struct(f">{DIGEST_BYTES}sQQI")  # state hash, log time, last session's id, number of sessions
_SESSION = struct.Struct(">QQQQI")  # id, ttl, last use, acknowledged, number of responses
_RESPONSE = struct.Struct(">QQI")  # sequence, index, length of the result


@dataclass(slots=True)
class Applied:
    """What became of one command."""

    result: bytes  # what the state machine answered
    index: int  # of the entry at which it was applied: the first time, if it came several times
    expired: bool = False  # it was not applied now, and never will be: its session has ended, or gave it up


def _all_applied(results: Iterable[bytes], index: int) -> list[Applied]:
    """What became of an entry's commands. Those with nothing to say, as most writes are, share one object."""
    silent = Applied(b"", index)
    return [Applied(result, index) if result else silent for result in results]


_EXPIRED = Applied(b"", 0, expired=True)
_BEYOND_ALL = 2**64  # no command has a number so high


@dataclass(slots=True)
class _Session:
    ttl_ms: int
    used_ms: int  # log time of its last command
    acknowledged: int = 1  # the client waits for no number below this one
    newest: int = 0  # no higher number was recorded
    responses: dict[int, Applied] = field(default_factory=dict)  # by number, in the order of application
    response_bytes: int = 0  # of all their results
    captured: bool = False  # a snapshot shares `responses`: it is copied before it changes

    def expired(self, now_ms: int) -> bool:
        return now_ms - self.used_ms > self.ttl_ms

    def full(self) -> bool:
        return len(self.responses) >= SESSION_RESPONSES_MAX or self.response_bytes >= SESSION_RESPONSE_BYTES_MAX

    def takes_all(self, row: pb.CommandBatch) -> bool:
        """Whether its commands are all new, and there is room for them: so it is nearly always."""
        return (
            row.first_sequence > self.newest
            and row.first_sequence >= max(self.acknowledged, row.acknowledged)
            and len(self.responses) + len(row.commands) <= SESSION_RESPONSES_MAX
            and self.response_bytes < SESSION_RESPONSE_BYTES_MAX
        )

    def record_all(self, row: pb.CommandBatch, responses: Sequence[Applied]) -> None:
        """Keep what became of such a row."""
        if row.acknowledged > self.acknowledged:
            self._forget(row.acknowledged)
        self.responses.update(enumerate(responses, row.first_sequence))
        self.response_bytes += sum([len(response.result) for response in responses])
        self.newest = row.first_sequence + len(responses) - 1

    def record(self, sequence: int, response: Applied) -> None:
        """Keep what will have become of a command; its result is not known yet."""
        self.responses[sequence] = response
        self.newest = max(self.newest, sequence)

    def recorded(self, sequence: int, acknowledged: int) -> Applied | None:
        """What became of a command when it came before; None: it did not, and is to be applied."""
        if acknowledged > self.acknowledged:
            self._forget(acknowledged)
        response = self.responses.get(sequence)
        return _EXPIRED if response is None and sequence < self.acknowledged else response

    def end(self) -> None:
        """Whatever comes in it from now on has expired."""
        self._forget(_BEYOND_ALL)

    def _forget(self, below: int) -> None:
        """Responses to numbers below this one are not needed any more."""
        if below - self.acknowledged <= len(self.responses):
            forgotten = list(range(self.acknowledged, below))
        else:
            forgotten = [sequence for sequence in self.responses if sequence < below]
        for sequence in forgotten:
            if (response := self.responses.pop(sequence, None)) is not None:
                self.response_bytes -= len(response.result)
        self.acknowledged = below


class SessionedMachine:
    """The application's state machine, with sessions in front of it. One owner calls it, entry by entry."""

    def __init__(self, machine: StateMachine) -> None:
        self.state_hash = StateHash()
        """Of all entries that were applied; who applies them adds them. It is part of the snapshot."""
        self._machine = machine
        self._now_ms = 0
        self._last_id = 0
        self._sessions: OrderedDict[int, _Session] = OrderedDict()  # by id, the least recently used one first

    @property
    def session_count(self) -> int:
        """How many sessions there are; one that has expired may still be among them."""
        return len(self._sessions)

    def apply(self, batch: pb.CommandEntry, index: int) -> list[Applied]:
        """Apply the commands of the entry at `index`; returns what became of each, in order.

        A command without a session is applied whenever it comes. One of a session is applied once for its number, in
        whatever order the numbers come; a repeat gets what was recorded the first time.
        """
        self._advance(batch.time_ms)
        if len(batch.batches) == 1:
            return self._apply_row(batch.batches[0], index)
        return [applied for row in batch.batches for applied in self._apply_row(row, index)]

    def open_session(self, request: pb.OpenSession) -> int:
        """Begin a session; returns its id, which no session had or will have."""
        self._advance(request.time_ms)
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)
        self._last_id += 1
        self._sessions[self._last_id] = _Session(request.ttl_ms, self._now_ms)
        return self._last_id

    def query(self, query: bytes) -> bytes:
        """Answer a read; changes nothing."""
        return self._machine.query(query)

    def snapshot(self) -> Iterator[bytes]:
        """Capture sessions and application as they are now; see `StateMachine.snapshot`."""
        header = _HEADER.pack(self.state_hash.digest, self._now_ms, self._last_id, len(self._sessions))
        sessions = []
        for session_id, session in self._sessions.items():
            session.captured = True
            form = _SESSION.pack(
                session_id, session.ttl_ms, session.used_ms, session.acknowledged, len(session.responses)
            )
            sessions.append((form, session.responses))
        return _serialize(header, sessions, self._machine.snapshot())

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state by what `snapshot` yielded. Raises `ValueError`; the state is not to be used then."""
        reader = ChunkReader(chunks)
        if reader.take(len(_MAGIC), "the sessions' header") != _MAGIC:
            raise ValueError(f"offset 0: not sessions in the form {_MAGIC!r}")
        header = _HEADER.unpack(reader.take(_HEADER.size, "the sessions' header"))
        self.state_hash.digest, self._now_ms, self._last_id, count = header
        self._sessions = OrderedDict()
        for _ in range(count):
            self._restore_session(reader)
        self._machine.restore(reader.rest())

    def _apply_row(self, row: pb.CommandBatch, index: int) -> list[Applied]:
        if not row.session_id:
            return _all_applied(self._machine.apply(row.commands), index)
        session = self._use(row.session_id)
        if session is None:
            return [_EXPIRED] * len(row.commands)
        if not session.takes_all(row):
            return self._apply_one_by_one(session, row, index)
        applied = _all_applied(self._machine.apply(row.commands), index)
        session.record_all(row, applied)
        return applied

    def _apply_one_by_one(self, session: _Session, row: pb.CommandBatch, index: int) -> list[Applied]:
        applied: list[Applied] = []
        fresh: list[tuple[int, Applied]] = []
        commands: list[bytes] = []
        for sequence, command in enumerate(row.commands, row.first_sequence):
            response = session.recorded(sequence, row.acknowledged)
            if response is None and session.full():
                session.end()
                del self._sessions[row.session_id]
                response = _EXPIRED
            if response is None:
                response = Applied(b"", index)  # the result follows
                session.record(sequence, response)
                fresh.append((sequence, response))
                commands.append(command)
            applied.append(response)
        for (sequence, response), result in zip(fresh, self._machine.apply(commands), strict=True):
            response.result = result
            if sequence >= session.acknowledged:  # else the session has ended at a later command
                session.response_bytes += len(result)
        return applied

    def _restore_session(self, reader: ChunkReader) -> None:
        place = reader.offset
        session_id, ttl_ms, used_ms, acknowledged, count = _SESSION.unpack(reader.take(_SESSION.size, "a session"))
        if not 0 < session_id <= self._last_id or session_id in self._sessions:
            raise ValueError(f"offset {place}: session {session_id} can't be here")
        responses: dict[int, Applied] = {}
        for _ in range(count):
            sequence, index, size = _RESPONSE.unpack(reader.take(_RESPONSE.size, "a response"))
            responses[sequence] = Applied(reader.take(size, "a result"), index)
        size = sum(len(response.result) for response in responses.values())
        newest = max(responses, default=0)
        self._sessions[session_id] = _Session(ttl_ms, used_ms, acknowledged, newest, responses, size)

    def _advance(self, time_ms: int) -> None:
        """Let log time pass: it never goes back. Sessions that have expired go, from the least recently used one on.

        With different times to live, one may stay behind another that is still good; `_use` does not take it then.
        """
        if time_ms <= self._now_ms:
            return
        self._now_ms = time_ms
        while self._sessions and next(iter(self._sessions.values())).expired(time_ms):
            self._sessions.popitem(last=False)

    def _use(self, session_id: int) -> _Session | None:
        """The session, which is now the most recently used one; None when there is none."""
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
    for form, responses in sessions:
        chunk += form
        for sequence, response in responses.items():
            chunk += _RESPONSE.pack(sequence, response.index, len(response.result))
            chunk += response.result
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
    yield bytes(chunk)
    yield from machine
