"""The etcd process. It ends with the adapter, however that ends."""

import asyncio
import ctypes
import json
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raft_pkg.errors import ConfigurationError
from systems.etcd.options import EtcdOptions

LOG_LINE_BYTES_MAX = 1024 * 1024
STOP_SECONDS_MAX = 5.0
"""The testbed's Pods have a termination grace period of ten seconds."""
LAST_LINES = 5
"""Lines of the log that are quoted when etcd exits."""
_LEVELS_DROPPED = frozenset({"debug", "info"})
"""Levels of etcd's log that are not copied to stderr."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class EtcdProcess:
    """A running etcd."""

    def __init__(
        self, process: asyncio.subprocess.Process, socket_dir: Path, handle_message: Callable[[str], None]
    ) -> None:
        self._process = process
        self._socket_dir = socket_dir
        self._handle_message = handle_message
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)

    @classmethod
    async def start(cls, options: EtcdOptions, handle_message: Callable[[str], None]) -> "EtcdProcess":
        """Start etcd; `handle_message` is called with each message that it logs.

        Raise `ConfigurationError` when the program is missing, or the data directory cannot be created.
        """
        try:
            options.environment.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            options.socket_dir.mkdir(mode=0o700, exist_ok=True)
            options.socket.unlink(missing_ok=True)  # left by an etcd that was killed
            process = await asyncio.create_subprocess_exec(
                *options.command,
                cwd=options.socket_dir,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=LOG_LINE_BYTES_MAX,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise ConfigurationError(f"cannot start etcd: {error}") from None
        return cls(process, options.socket_dir, handle_message)

    async def run(self) -> str:
        """Read the log until etcd exits; return its exit status and last lines."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._handle_line(line.decode(errors="replace").rstrip("\n"))
        status = await self._process.wait()
        return f"etcd ended with exit status {status}: " + " | ".join(self._last_lines)

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after `STOP_SECONDS_MAX`; remove the socket."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        shutil.rmtree(self._socket_dir, ignore_errors=True)

    def _handle_line(self, line: str) -> None:
        try:
            record: dict[str, Any] = json.loads(line)
            level, message = record["level"], str(record["msg"])
        except (ValueError, KeyError, TypeError):  # for example a panic's stack trace, or an unknown flag
            level, message = "unknown", line
        else:
            self._handle_message(message)
        if level not in _LEVELS_DROPPED:
            self._last_lines.append(line)
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _die_with_parent() -> None:
    """Let Linux kill the process when the adapter has ended, even by SIGKILL."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
