"""A lock service with fencing tokens: a second application for raft_pkg, told in docs/how-to/state-machine.md.

python lock_service.py raft-0 raft-0=127.0.0.1:7000,raft-1=127.0.0.1:7001,raft-2=127.0.0.1:7002 data/raft-0
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.server import ServerConfig, run


@dataclass(slots=True)
class Lock:
    """A lock that somebody holds."""

    owner: str
    token: int  # grows with every lock that is granted: what it protects refuses a smaller one than it has seen
    renewals: int = 0


class LockService:
    """Locks by name. Commands, queries and answers are words; names and owners are any words."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}
        self._last_token = 0

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Carry out commands in order; see `_execute`."""
        return [self._execute(_words(command)).encode() for command in commands]

    def query(self, query: bytes) -> bytes:
        """`holder NAME` is answered by `held OWNER TOKEN RENEWALS` or `free`."""
        match _words(query):
            case ["holder", name]:
                lock = self._locks.get(name)
                return f"held {lock.owner} {lock.token} {lock.renewals}".encode() if lock else b"free"
        return b"error: there is one query: holder NAME"

    def snapshot(self) -> Iterator[bytes]:
        """The last token, then a line for each lock. It is small: all is captured and written at once."""
        lines = [f"{name} {lock.owner} {lock.token} {lock.renewals}\n" for name, lock in self._locks.items()]
        return iter([f"{self._last_token}\n".encode(), "".join(lines).encode()])

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Take over what `snapshot` wrote; raises `ValueError` that names the line."""
        first, *lines = b"".join(chunks).decode().split("\n")[:-1] or [""]
        locks, place = {}, "line 1"
        try:
            last_token = int(first)
            for number, line in enumerate(lines, start=2):
                place = f"line {number}"
                name, owner, token, renewals = line.split(" ")
                locks[name] = Lock(owner, int(token), int(renewals))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        self._locks, self._last_token = locks, last_token

    def _execute(self, words: list[str]) -> str:
        match words:
            case ["acquire", name, owner]:
                return self._acquire(name, owner)
            case ["renew", name, token] if self._is_held(name, token):
                self._locks[name].renewals += 1
                return f"renewed {self._locks[name].renewals}"
            case ["release", name, token] if self._is_held(name, token):
                del self._locks[name]
                return "released"
            case ["break", name, token, renewals] if self._is_held(name, token, renewals):
                del self._locks[name]
                return "broken"
            case ["renew" | "release", _, _] | ["break", _, _, _]:
                return "lost"
        return "error: acquire NAME OWNER, renew NAME TOKEN, release NAME TOKEN or break NAME TOKEN RENEWALS"

    def _acquire(self, name: str, owner: str) -> str:
        if name in self._locks:
            return f"held {self._locks[name].owner}"
        self._last_token += 1
        self._locks[name] = Lock(owner, self._last_token)
        return f"granted {self._last_token}"

    def _is_held(self, name: str, token: str, renewals: str | None = None) -> bool:
        lock = self._locks.get(name)
        return lock is not None and str(lock.token) == token and renewals in (None, str(lock.renewals))


def _words(data: bytes) -> list[str]:
    """A command must not raise, whatever its bytes are."""
    return data.decode(errors="replace").split()


def main(node_id: str, peers: str, data_dir: str) -> int:
    """Serve one node until SIGTERM; `peers` names all of them: ID=HOST:PORT,…"""
    addresses = dict(peer.split("=") for peer in peers.split(","))
    config = ServerConfig(node_id=node_id, listen=addresses[node_id], peers=addresses, data_dir=Path(data_dir))
    return run(config, LockService)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
