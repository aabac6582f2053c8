"""What is known of a local cluster, kept as cluster.json in its directory, and the lock that guards it."""

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
    """The cluster did not reach the state that was asked for in time. The message says what was seen."""

    exit_status = 3  # of raftctl


@dataclass(slots=True)
class NodeDescription:
    """One node: what it is, and which process it was last."""

    id: str
    endpoint: str  # HOST:PORT for gRPC
    http: str  # HOST:PORT for /livez, /readyz and /metrics
    pid: int | None = None
    process_created: float | None = None  # tells the process from a later one with the same number
    joined: bool = False  # it came later than the cluster began
    internal: str = ""  # HOST:PORT for what another system's nodes say to each other; empty for ours


@dataclass(slots=True)
class ClusterDescription:
    """All nodes, and the times they are started with (milliseconds)."""

    nodes: list[NodeDescription] = field(default_factory=list)
    election_timeout_ms_min: int = 150
    election_timeout_ms_max: int = 300
    heartbeat_interval_ms: int = 50
    command: str = ""
    """What starts a node of another system (docs/reference/contract.md), as a shell would split it; empty: `raftctl serve`."""
    proxy: NodeDescription | None = None
    """`raftctl proxy`, through which the nodes reach each other: `http` is where it takes its orders."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(node.endpoint for node in self.nodes)

    @property
    def initial(self) -> list[NodeDescription]:
        """Those with whom the cluster began."""
        return [node for node in self.nodes if not node.joined]

    @property
    def peers(self) -> str:
        """As `raftctl serve --peers` takes it: those with whom the cluster began."""
        return ",".join(f"{node.id}={node.endpoint}" for node in self.initial)

    @property
    def internal_peers(self) -> str:
        """The same, with the addresses at which they reach each other."""
        return ",".join(f"{node.id}={node.internal}" for node in self.initial)

    def node(self, node_id: str) -> NodeDescription:
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise ConfigurationError(f"no node {node_id!r} in this cluster; it has {', '.join(n.id for n in self.nodes)}")

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """The description in `directory`, None when there is none; raises ConfigurationError when it is unreadable."""
        path = directory / FILE_NAME
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise ConfigurationError(f"{path}: format {content['format']}, this raftctl knows {FORMAT}")
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
        """Replace the description in one step."""
        content: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        path = directory / FILE_NAME
        draft = path.with_suffix(".json.new")
        with draft.open("w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


@contextlib.contextmanager
def locked(directory: Path, timeout: float) -> Iterator[None]:
    """Hold the directory alone; waits up to `timeout` seconds for another raftctl."""
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
                raise ClusterUnavailableError(f"another raftctl has been working on {directory} for {timeout:g} s")
            time.sleep(0.05)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise ConfigurationError(f"directory {directory} can't be used: {error}") from None


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # `down --purge` removes the file: a lock on what is no longer there guards nothing.
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
