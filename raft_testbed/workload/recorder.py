"""The record of a workload: log lines with a running number, written as things happen, so that nothing is held."""

import time
from collections import Counter
from typing import Any

from raft_pkg.events import Event, EventLog, LineStream
from raft_testbed.history import MISMATCH, Value


class Tee:
    """A stream that stands for several."""

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
        """Of operations: ok, fail, info, and mismatch for a cas that found another value."""
        self._log = log
        self._n = 0
        self._processes = 0
        self._clock_offset = time.time_ns() - time.monotonic_ns()

    def new_process(self) -> int:
        """A process number that was never used."""
        self._processes += 1
        return self._processes - 1

    def event(self, event: Event, **fields: Any) -> None:
        self._log.emit(event, n=self._n, **fields)
        self._n += 1

    def call(self, process: int, f: str, key: str, value: Value) -> None:
        self._operation(process, "invoke", f, key, value)

    def outcome(self, process: int, kind: str, f: str, key: str, value: Value, *, error: str | None = None) -> None:
        """`value` is the call's, for a read that is ok what it returned."""
        self.outcomes["mismatch" if error == MISMATCH else kind] += 1
        self._operation(process, kind, f, key, value, **({} if error is None else {"error": error}))

    def _operation(self, process: int, kind: str, f: str, key: str, value: Value, **more: str) -> None:
        # A clock that is set while the workload runs must not make operations end before they begin.
        now = time.monotonic_ns() + self._clock_offset
        self.event(Event.OPERATION, time=now, process=process, type=kind, f=f, key=key, value=value, **more)
