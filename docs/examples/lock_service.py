"""A lock service with fencing tokens: an application of raft_pkg, described in docs/how-to/state-machine.md.

python lock_service.py raft-0 raft-0=127.0.0.1:7000,raft-1=127.0.0.1:7001,raft-2=127.0.0.1:7002 data/raft-0
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raft_pkg.server import ServerConfig, run


@dataclass(slots=True)
class Lock:
    """A lock and its owner."""

    owner: str
    token: int
    """Fencing token. Tokens increase with every granted lock, so a protected resource can reject older owners."""
    renewals: int = 0


class LockService:
    """Locks by name. Commands, queries and results are words separated by spaces."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}
        self._last_token = 0

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        """Execute commands in order; return one result for each."""
        return [self._execute(_words(command)).encode() for command in commands]

    def query(self, query: bytes) -> bytes:
        """Answer `holder NAME` with `held OWNER TOKEN RENEWALS` or `free`."""
        match _words(query):
            case ["holder", name]:
                lock = self._locks.get(name)
                return f"held {lock.owner} {lock.token} {lock.renewals}".encode() if lock else b"free"
        return b"error: the only query is holder NAME"

    def snapshot(self) -> Iterator[bytes]:
        """Return the newest token and one line per lock. The state is small, so it is serialized at once."""
        lines = [f"{name} {lock.owner} {lock.token} {lock.renewals}\n" for name, lock in self._locks.items()]
        return iter([f"{self._last_token}\n".encode(), "".join(lines).encode()])

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state by a snapshot. Raise `ValueError` with the line number."""
        first, *lines = b"".join(chunks).decode().split("\n")[:-1] or [""]
        locks, line_number = {}, 1
        try:
            last_token = int(first)
            for number, line in enumerate(lines, start=2):
                line_number = number
                name, owner, token, renewals = line.split(" ")
                locks[name] = Lock(owner, int(token), int(renewals))
        except ValueError as error:
            raise ValueError(f"line {line_number}: {error}") from None
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
    """Split bytes into words; never raise, whatever the bytes."""
    return data.decode(errors="replace").split()


def main(node_id: str, peers: str, data_dir: str) -> int:
    """Serve one node until SIGTERM; `peers` lists all nodes: ID=HOST:PORT,…"""
    addresses = dict(peer.split("=") for peer in peers.split(","))
    config = ServerConfig(node_id=node_id, listen=addresses[node_id], peers=addresses, data_dir=Path(data_dir))
    return run(config, LockService)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
