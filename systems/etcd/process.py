"""The etcd process: started, listened to, and ended with the adapter, however that ends."""

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
from systems.etcd.settings import Settings

LOG_LINE_BYTES_MAX = 1024 * 1024
STOP_SECONDS_MAX = 5.0
"""Kubernetes gives a Pod ten seconds to end."""
LAST_WORDS = 5
_PASSED_OVER = frozenset({"debug", "info"})
"""Levels of etcd's log that are not passed on."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Etcd:
    """One etcd."""

    def __init__(self, process: asyncio.subprocess.Process, socket_dir: Path, hear: Callable[[str], None]) -> None:
        self._process = process
        self._socket_dir = socket_dir
        self._hear = hear
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)

    @classmethod
    async def start(cls, settings: Settings, hear: Callable[[str], None]) -> "Etcd":
        """Start it; `hear` gets the message of each line that it logs.

        Raises `ConfigurationError` when there is no such program, or the data directory can't be made.
        """
        try:
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            settings.socket_dir.mkdir(mode=0o700, exist_ok=True)
            settings.socket.unlink(missing_ok=True)  # of an etcd that was killed
            process = await asyncio.create_subprocess_exec(
                *settings.command,
                cwd=settings.socket_dir,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=LOG_LINE_BYTES_MAX,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise ConfigurationError(f"etcd can't be started: {error}") from None
        return cls(process, settings.socket_dir, hear)

    async def run(self) -> str:
        """Listen until it ends; returns how it did, with its last words."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._take(line.decode(errors="replace").rstrip("\n"))
        status = await self._process.wait()
        return f"etcd ended with exit status {status}: " + " | ".join(self._last_words)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to one that does not heed it."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        shutil.rmtree(self._socket_dir, ignore_errors=True)

    def _take(self, line: str) -> None:
        try:
            record: dict[str, Any] = json.loads(line)
            level, message = record["level"], str(record["msg"])
        except (ValueError, KeyError, TypeError):  # a panic's trace, a flag that it does not know
            level, message = "unknown", line
        else:
            self._hear(message)
        if level not in _PASSED_OVER:
            self._last_words.append(line)
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _die_with_parent() -> None:
    """Linux ends the process when the adapter is gone, killed or not."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
