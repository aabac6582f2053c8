"""The description of a local cluster, stored as cluster.json in its directory, and the lock that guards it."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from raft_pkg.errors import ConfigurationError, RaftError

FORMAT = 1
FILE_NAME = "cluster.json"
LOCK_NAME = "lock"


class ClusterUnavailableError(RaftError):
    """The cluster did not reach the desired state in time. The message says what was observed."""

    exit_status = 3  # of raftctl


@dataclass(slots=True)
class NodeDescription:
    """One node, and its newest process."""

    id: str
    endpoint: str
    """HOST:PORT for gRPC."""
    http: str
    """HOST:PORT for /livez, /readyz and /metrics."""
    pid: int | None = None
    process_created: float | None = None
    """Creation time in seconds since 1970. It distinguishes the process from a later one with the same process id."""
    joined: bool = False
    """Whether the node was added after the cluster was bootstrapped."""
    internal: str = ""
    """HOST:PORT for messages between nodes of another system; empty for `raftctl serve`."""


@dataclass(slots=True)
class ClusterDescription:
    """All nodes, and the options that they are started with. Times are in milliseconds."""

    nodes: list[NodeDescription] = field(default_factory=list)
    election_timeout_ms_min: int = 150
    election_timeout_ms_max: int = 300
    heartbeat_interval_ms: int = 50
    command: str = ""
    """Command line of a node of another system (docs/reference/contract.md); empty: `raftctl serve`."""
    proxy: NodeDescription | None = None
    """The `raftctl proxy` between the nodes; `http` is its control address."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """HOST:PORT for gRPC of each node."""
        return tuple(node.endpoint for node in self.nodes)

    @property
    def initial(self) -> list[NodeDescription]:
        """Nodes that bootstrapped the cluster."""
        return [node for node in self.nodes if not node.joined]

    @property
    def peers(self) -> str:
        """Initial nodes in the form of `raftctl serve --peers`."""
        return ",".join(f"{node.id}={node.endpoint}" for node in self.initial)

    @property
    def internal_peers(self) -> str:
        """Initial nodes in the same form, with their internal addresses."""
        return ",".join(f"{node.id}={node.internal}" for node in self.initial)

    def node(self, node_id: str) -> NodeDescription:
        """Return a node by id. Raise `ConfigurationError` if there is none."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise ConfigurationError(f"no node {node_id!r} in this cluster; it has {', '.join(n.id for n in self.nodes)}")

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """Load the description from `directory`; return None when there is none.

        Raise `ConfigurationError` if it can't be read.
        """
        path = directory / FILE_NAME
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise ConfigurationError(f"{path}: format {content['format']}, but this raftctl reads format {FORMAT}")
            nodes = [NodeDescription(**node) for node in content["nodes"]]
            proxy = NodeDescription(**content["proxy"]) if content.get("proxy") else None
            times = {
                f.name: int(content[f.name]) for f in fields(cls) if f.name.endswith(("_ms", "_ms_min", "_ms_max"))
            }
            return cls(nodes, **times, command=str(content.get("command", "")), proxy=proxy)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{path} can't be read: {error}") from None

    def save(self, directory: Path) -> None:
        """Replace the stored description atomically."""
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        path = directory / FILE_NAME
        temporary = path.with_suffix(".json.new")
        with temporary.open("w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def locked(directory: Path, timeout: float) -> Iterator[None]:
    """Hold the directory's lock; wait up to `timeout` seconds for another process.

    Raise `ClusterUnavailableError` if the lock is not free in time, and `ConfigurationError` if the directory is
    not usable.
    """
    path = directory / LOCK_NAME
    deadline = time.monotonic() + timeout
    try:
        directory.mkdir(parents=True, exist_ok=True)
        while True:
            with path.open("w") as file:
                if _try_lock(file.fileno(), path):
                    yield
                    return
            if time.monotonic() > deadline:
                raise ClusterUnavailableError(f"another raftctl has held the lock of {directory} for {timeout:g} s")
            time.sleep(0.05)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise ConfigurationError(f"directory {directory} can't be used: {error}") from None


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # `down --purge` removes the file. A lock on a removed file guards nothing.
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
