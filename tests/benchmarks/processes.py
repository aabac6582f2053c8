"""Child processes that never outlive this one, and that communicate in JSON lines."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.errors import BenchmarkError

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 10.0
EVIDENCE_LINES = 5
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""With util-linux, the kernel kills the child when its parent dies for any reason."""


def launch(command: Sequence[str], log: Path, **options: Any) -> "subprocess.Popen[str]":
    """Start a program that never outlives this process; append its stderr to `log`."""
    with log.open("a") as errors:
        return subprocess.Popen([*_DIE_WITH_PARENT, *command], cwd=ROOT, stderr=errors, text=True, **options)


def end(process: "subprocess.Popen[str]") -> None:
    """Terminate a process that may be paused; kill it if it does not end."""
    if process.poll() is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def run(command: Sequence[str], seconds_max: float) -> str:
    """Run a program and return its stdout. Raise `BenchmarkError`, with its last lines, if it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds_max, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{' '.join(command[:4])} … did not finish within {seconds_max:g} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-EVIDENCE_LINES:]
        raise BenchmarkError(f"{' '.join(command[:4])} … failed with status {done.returncode}: {' | '.join(lines)}")
    return done.stdout


class Worker:
    """A module of this package as a process that replies to each line on stdin with a line on stdout."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        self._name = f"{module} {' '.join(arguments)}"
        self.process = launch(
            [sys.executable, "-m", module, *arguments], log, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def request(self, seconds_max: float = 10.0, **request: Any) -> Any:
        """Send a request and return its reply, which must arrive within `seconds_max`."""
        self.send(**request)
        return self.receive(seconds_max)

    def send(self, **request: Any) -> None:
        """Send a request without waiting for the reply."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise BenchmarkError(f"{self._name} has ended: {self._evidence()}") from None

    def receive(self, seconds_max: float) -> Any:
        """The next answer; BenchmarkError when it is an error, or none comes."""
        try:
            line = self._lines.get(timeout=seconds_max)
        except queue.Empty:
            raise BenchmarkError(f"{self._name}: no reply within {seconds_max:g} s; {self._evidence()}") from None
        if not line:
            raise BenchmarkError(f"{self._name} ended: {self._evidence()}")
        content = json.loads(line)
        if isinstance(content, dict) and "error" in content:
            raise BenchmarkError(f"{self._name}: {content['error']}")
        return content

    def end(self) -> None:
        end(self.process)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _evidence(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-EVIDENCE_LINES:]
        return " | ".join(lines) or f"nothing in {self._log}"


@contextlib.contextmanager
def worker(module: str, arguments: Sequence[str], log: Path) -> Iterator[Worker]:
    """Start a worker, and terminate it at the end of the block."""
    process = Worker(module, arguments, log)
    try:
        yield process
    finally:
        process.end()


def serve_requests(handle: Callable[[dict[str, Any]], Any]) -> None:
    """Within a worker: serve the requests on stdin until it closes."""
    for line in sys.stdin:
        try:
            result = handle(json.loads(line))
        except BenchmarkError as error:
            result = {"error": str(error)}
        reply(result)


def reply(result: Any) -> None:
    """Within a worker: send a reply."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def pause(process_ids: Sequence[int]) -> None:
    """Send SIGSTOP."""
    for number in process_ids:
        os.kill(number, signal.SIGSTOP)


def resume(process_ids: Sequence[int]) -> None:
    """Send SIGCONT."""
    for number in process_ids:
        os.kill(number, signal.SIGCONT)
