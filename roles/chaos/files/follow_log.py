"""Writes what Pods log to files as it is logged, over restarts and broken connections, until told to end.

A Pod's log goes with the Pod, and the kubelet throws away what it has rotated: only who reads all the time gets all.
When it rotates a log, a reader may be left with the old file and hear nothing more; so whoever hears nothing for long
reads anew, from the beginning of the file that is written now. A line is written once: lines with a running number `n`
by that, others by being the same as one of the last ones. Numbers that are missing are looked for in the rotated files,
of which the kubelet keeps some for a while.
What is missing all the same, the numbers show to whoever judges the history.

    follow_log.py DIRECTORY SECONDS_MAX KUBECTL_ARGUMENT… -- POD[=FILE]…

Each Pod has a thread; a Pod that is not there yet is waited for. SIGTERM ends it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

RETRY_SECONDS = 0.3
ABSENT_SECONDS = 3.0
"""A Pod of which nothing is heard is asked for again after so long: each question costs a process."""
SILENCE_SECONDS_MAX = {True: 3.0, False: 60.0}
"""After so long without a line a log is read anew: one whose lines have numbers, and one that says little anyway."""
READ_BYTES_MAX = 1024 * 1024
REMEMBERED_LINES = 20_000
"""So many of the last lines are known again when a log is read anew from its beginning."""


class Follower(threading.Thread):
    """One Pod's log."""

    def __init__(self, kubectl: list[str], pod: str, path: Path, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._kubectl = kubectl
        self._pod = pod
        self._file = path.open("ab", buffering=0)
        self._ended = ended
        self._next_number = 0
        self._recent: deque[bytes] = deque(maxlen=REMEMBERED_LINES)
        self._known: set[bytes] = set()

    def run(self) -> None:
        while not self._ended.is_set():
            # what a container that has ended meanwhile still had to say comes before what the next one says
            said_something = self._read("--previous")
            said_something |= self._read("--follow")
            self._ended.wait(RETRY_SECONDS if said_something else ABSENT_SECONDS)

    def _read(self, how: str) -> bool:
        """Take what there is, for as long as it goes on; whether there was anything."""
        said_something = False
        command = [*self._kubectl, "logs", self._pod, how]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603
            assert process.stdout is not None
            source, rest = process.stdout.fileno(), b""
            while self._hears(source) and (read := os.read(source, READ_BYTES_MAX)):
                said_something = True
                # what is left of a line when the log is cut off comes again
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    self._take(line + b"\n")
            process.kill()
        return said_something

    def _hears(self, source: int) -> bool:
        """Whether there is something to read, in time."""
        deadline = time.monotonic() + SILENCE_SECONDS_MAX[self._next_number > 0]
        while not self._ended.is_set() and time.monotonic() < deadline:
            if select.select([source], [], [], RETRY_SECONDS)[0]:
                return True
        return False

    def _take(self, line: bytes) -> None:
        number = running_number(line)
        if number is not None:
            if number < self._next_number:
                return
            for missing in self._rotated(range(self._next_number, number)):
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

    def _rotated(self, numbers: range) -> list[bytes]:
        """As many of the lines with these numbers, in order, as the kubelet still has."""
        if not numbers:
            return []
        found: dict[int, bytes] = {}
        try:
            pod = json.loads(self._ask("get", "pod", self._pod, "-o", "json"))
            name, about = pod["spec"]["containers"][0]["name"], pod["metadata"]
            logs = f"pods/{about['namespace']}_{about['name']}_{about['uid']}/{name}/"
            place = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/logs/{logs}"
            files = re.findall(r'href="([^"/]+)"', self._ask("get", "--raw", place).decode())
            for file in files:
                found |= numbered_lines(self._ask("get", "--raw", place + file), numbers)
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            print(f"{self._pod}: lines {numbers.start} to {numbers.stop - 1} are lost: {error}", file=sys.stderr)
        return [found[number] for number in sorted(found)]

    def _ask(self, *arguments: str) -> bytes:
        return subprocess.run([*self._kubectl, *arguments], capture_output=True, check=True).stdout  # noqa: S603


def numbered_lines(log: bytes, numbers: range) -> dict[int, bytes]:
    """The lines with these numbers in a container runtime's log file: TIME STREAM TAG LINE, and perhaps compressed."""
    found = {}
    for entry in (gzip.decompress(log) if log.startswith(b"\x1f\x8b") else log).splitlines():
        line = entry.split(b" ", 3)[-1]
        number = running_number(line)
        if number is not None and number in numbers:
            found[number] = line + b"\n"
    return found


def running_number(line: bytes) -> int | None:
    """The member `n` of a line; None for one that has none."""
    try:
        number = json.loads(line).get("n")
    except (ValueError, AttributeError):
        return None
    return number if isinstance(number, int) else None


def main() -> None:
    directory, seconds_max = Path(sys.argv[1]), float(sys.argv[2])
    middle = sys.argv.index("--")
    kubectl, pods = ["kubectl", *sys.argv[3:middle]], sys.argv[middle + 1 :]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for pod in pods:
        name, _, file = pod.partition("=")
        Follower(kubectl, name, directory / (file or f"logs/{name}.log"), ended).start()
    deadline = time.monotonic() + seconds_max
    while not ended.wait(1) and time.monotonic() < deadline:
        pass


if __name__ == "__main__":
    main()
