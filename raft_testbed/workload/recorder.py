"""Recorder of a workload's history: log lines with running numbers, written immediately."""

import time
from collections import Counter
from typing import Any

from raft_pkg.events import Event, EventLog, LineStream
from raft_testbed.history import MISMATCH, Value


class Tee:
    """A stream that writes to several streams."""

    def __init__(self, *streams: LineStream) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


class Recorder:
    """Logs events and operations, and counts outcomes."""

    def __init__(self, log: EventLog) -> None:
        self.outcomes: Counter[str] = Counter()
        """Number of operations by outcome: ok, fail, info, and mismatch for a cas that failed with a mismatch."""
        self._log = log
        self._n = 0
        self._processes = 0
        self._clock_offset = time.time_ns() - time.monotonic_ns()

    def new_process(self) -> int:
        """Return an unused process number."""
        self._processes += 1
        return self._processes - 1

    def event(self, event: Event, **fields: Any) -> None:
        """Log an event."""
        self._log.emit(event, n=self._n, **fields)
        self._n += 1

    def call(self, process: int, f: str, key: str, value: Value) -> None:
        """Log the call of an operation."""
        self._operation(process, "invoke", f, key, value)

    def outcome(self, process: int, outcome: str, f: str, key: str, value: Value, *, error: str | None = None) -> None:
        """Log the outcome of an operation. `value` is that of the call, or what a successful read returned."""
        self.outcomes["mismatch" if error == MISMATCH else outcome] += 1
        self._operation(process, outcome, f, key, value, **({} if error is None else {"error": error}))

    def _operation(self, process: int, kind: str, f: str, key: str, value: Value, **more: str) -> None:
        # The monotonic clock: a step of the system clock must not make an operation complete before its call.
        now = time.monotonic_ns() + self._clock_offset
        self.event(Event.OPERATION, time=now, process=process, type=kind, f=f, key=key, value=value, **more)
