"""Complete copies of Pods' logs, written as they are logged, over restarts and broken connections.

A Pod's log is deleted with the Pod, and the kubelet deletes what it rotated: only a permanent reader gets every line.
When the kubelet rotates a log, a reader may stay with the old file and receive nothing more, so a reader that is idle
for long starts again, at the beginning of the current file. Each line is written once: a line with a running number
`n` is recognized by that, others by equality with one of the last lines. Missing numbers are looked up in the rotated
files, of which the kubelet keeps some. Numbers that remain missing show the checker that the history is incomplete.
"""

import gzip
import re
import signal
import sys
import threading
from collections import deque
from pathlib import Path

from raft_testbed.drivers.kubernetes_api import KubernetesApi, KubernetesError
from raft_testbed.events import parse_event

RETRY_SECONDS = 0.3
ABSENT_SECONDS = 3.0
"""Delay before another request for a Pod without any output."""
NUMBERED_IDLE_SECONDS_MAX = 3.0
"""A log whose lines have numbers is read again after this time without a line."""
IDLE_SECONDS_MAX = 60.0
"""Any other log."""
REMEMBERED_LINES = 20_000
"""How many lines without a number are recognized when a log is read again."""


class LogFollower(threading.Thread):
    """One Pod's log."""

    def __init__(self, api: KubernetesApi, pod: str, path: Path, stopped: threading.Event) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._pod = pod
        self._file = path.open("ab", buffering=0)
        self._stopped = stopped
        self._next_number = 0
        self._recent: deque[bytes] = deque(maxlen=REMEMBERED_LINES)
        self._known: set[bytes] = set()
        self.numbered_idle_seconds_max = NUMBERED_IDLE_SECONDS_MAX

    def run(self) -> None:
        while not self._stopped.is_set():
            # the rest of an ended incarnation comes before the next one
            received = self.read_once(previous=True)
            received |= self.read_once(previous=False)
            self._stopped.wait(RETRY_SECONDS if received else ABSENT_SECONDS)

    def read_once(self, *, previous: bool) -> bool:
        """Read the log of an incarnation until it ends or is idle. Return whether it had any output."""
        received, rest = False, b""
        idle_seconds_max = self.numbered_idle_seconds_max if self._next_number else IDLE_SECONDS_MAX
        try:
            for chunk in self._api.stream_log(self._pod, previous=previous, idle_seconds_max=idle_seconds_max):
                received = True
                # an incomplete line at the end comes again with the next read
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self.add_line(line + b"\n")
        except KubernetesError:
            pass  # no such Pod, or no such incarnation, yet
        return received

    def add_line(self, line: bytes) -> None:
        """Write a line unless it was written before, after the missing lines before it."""
        number = running_number(line)
        if number is not None:
            if number < self._next_number:
                return
            for missing in self._rotated_lines(range(self._next_number, number)):
                self._file.write(missing)
            self._next_number = number + 1
        elif line in self._known:
            return
        else:
            if len(self._recent) == REMEMBERED_LINES:
                self._known.discard(self._recent[0])
            self._recent.append(line)
            self._known.add(line)
        self._file.write(line)

    def _rotated_lines(self, numbers: range) -> list[bytes]:
        """Return the lines with these numbers that the kubelet still has, in order."""
        if not numbers:
            return []
        found: dict[int, bytes] = {}
        try:
            pod = self._api.pod(self._pod)
            container, metadata = pod["spec"]["containers"][0]["name"], pod["metadata"]
            machine = pod["spec"]["nodeName"]
            directory = f"pods/{metadata['namespace']}_{metadata['name']}_{metadata['uid']}/{container}/"
            listing = self._api.node_logs(machine, directory).decode()
            for file in re.findall(r'href="([^"/]+)"', listing):
                found |= numbered_lines(self._api.node_logs(machine, directory + file), numbers)
        except (OSError, ValueError, KeyError, KubernetesError) as error:
            sys.stderr.write(f"{self._pod}: lines {numbers.start} to {numbers.stop - 1} are lost: {error}\n")
        return [found[number] for number in sorted(found)]


def numbered_lines(log: bytes, numbers: range) -> dict[int, bytes]:
    """Return the lines with these numbers in a container runtime's log file, by number.

    Each entry of the file is `TIME STREAM TAG LINE`; the file may be gzipped.
    """
    found = {}
    for entry in (gzip.decompress(log) if log.startswith(b"\x1f\x8b") else log).splitlines():
        line = entry.split(b" ", 3)[-1]
        number = running_number(line)
        if number is not None and number in numbers:
            found[number] = line + b"\n"
    return found


def running_number(line: bytes) -> int | None:
    """Return the member `n` of a line's event, or None if it has none."""
    number = (parse_event(line.decode(errors="replace")) or {}).get("n")
    return number if isinstance(number, int) else None


def follow_logs(api: KubernetesApi, files: dict[str, Path], seconds_max: float) -> None:
    """Append the log of each Pod to its file until SIGTERM or `seconds_max`. A Pod may not exist yet."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    for pod, path in files.items():
        LogFollower(api, pod, path, stopped).start()
    stopped.wait(seconds_max)
