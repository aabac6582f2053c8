"""The events of a run: all of them hashed, the newest of each node kept for reports, and all written if requested."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TextIO

from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Discovery,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_testbed.simulation.scheduler import Scheduler

LAST_EVENTS = 30
"""Number of events of each node that a report shows."""
_LINES_PER_UPDATE = 512


class Trace:
    """One line per event: step, time, node, event, details. The hash covers every line."""

    def __init__(self, scheduler: Scheduler, stream: TextIO | None = None) -> None:
        self.counts: Counter[str] = Counter()
        """Number of rare events by name, which shows what a run exercised: log events and a few others."""
        self._scheduler = scheduler
        self._stream = stream
        self._hash = hashlib.blake2b(digest_size=16)
        self._lines: list[str] = []
        self._last: dict[str, deque[str]] = {}

    def record(self, node: str, event: str, detail: str = "") -> None:
        """Add one event; `node` is a node, a client, or `cluster` for faults."""
        scheduler = self._scheduler
        line = f"{scheduler.steps} {scheduler.now:.6f} {node} {event} {detail}"
        self._lines.append(line)
        last = self._last.get(node)
        if last is None:
            last = self._last[node] = deque(maxlen=LAST_EVENTS)
        last.append(line)
        if len(self._lines) >= _LINES_PER_UPDATE:
            self._hash_lines()
        if self._stream is not None:
            self._write(node, event, detail)

    def record_rare(self, node: str, event: str, detail: str = "") -> None:
        """Add one event, and count it."""
        self.counts[event] += 1
        self.record(node, event, detail)

    def digest(self) -> str:
        """Return the hash of all events so far, in hexadecimal."""
        self._hash_lines()
        return self._hash.hexdigest()

    def last_events(self, *nodes: str) -> list[str]:
        """Return the newest events of some nodes in order."""
        lines = [line for node in nodes for line in self._last.get(node, ())]
        return sorted(lines, key=lambda line: int(line.partition(" ")[0]))

    def _hash_lines(self) -> None:
        self._hash.update("\n".join([*self._lines, ""]).encode())
        self._lines.clear()

    def _write(self, node: str, event: str, detail: str) -> None:
        assert self._stream is not None
        record = {"step": self._scheduler.steps, "time": self._scheduler.now, "node": node, "event": event}
        self._stream.write(json.dumps({**record, "detail": detail}) + "\n")


def describe(message: Message) -> str:
    """Describe a message in one line."""
    body = message.body
    describe_body = _DESCRIPTIONS.get(type(body))
    text = describe_body(body) if describe_body else repr(body)
    return f"{message.sender}>{message.recipient} t{message.term} {text}"


def _append_entries(body: AppendEntries) -> str:
    entries = body.entries
    span = f"{entries[0].index}-{entries[-1].index}/t{entries[-1].term}" if entries else "none"
    prev = f"{body.prev_log_index}/t{body.prev_log_term}"
    return f"AppendEntries prev {prev} entries {span} commit {body.leader_commit} round {body.read_round}"


def _append_entries_reply(body: AppendEntriesReply) -> str:
    if body.success:
        return f"AppendEntriesReply match {body.match_index} round {body.read_round}"
    conflict = f"{body.conflict_index}/t{body.conflict_term}"
    return f"AppendEntriesReply refused {body.rejected_index} conflict {conflict} round {body.read_round}"


_DESCRIPTIONS: dict[type, Callable[[Any], str]] = {
    PreVote: lambda body: f"PreVote for t{body.next_term} last {body.last_log_index}/t{body.last_log_term}",
    PreVoteReply: lambda body: f"PreVoteReply for t{body.next_term} {'granted' if body.vote_granted else 'refused'}",
    RequestVote: lambda body: f"RequestVote last {body.last_log_index}/t{body.last_log_term}",
    RequestVoteReply: lambda body: f"RequestVoteReply {'granted' if body.vote_granted else 'refused'}",
    AppendEntries: _append_entries,
    AppendEntriesReply: _append_entries_reply,
    InstallSnapshot: lambda body: (
        f"InstallSnapshot {body.metadata.index}/t{body.metadata.term} "
        f"bytes {body.offset}+{len(body.data)} of {body.metadata.size} round {body.read_round}"
    ),
    InstallSnapshotReply: lambda body: (
        f"InstallSnapshotReply {body.index} next {body.next_offset} round {body.read_round}"
    ),
    Discovery: lambda body: (
        f"Discovery {'uninitialized ' if body.uninitialized else ''}{'answer ' if body.is_reply else ''}"
        f"leader {body.leader}"
    ),
}
