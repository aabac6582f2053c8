"""A cluster of node processes on this machine. One directory holds its description, its data and its logs."""

import asyncio
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raft_pkg.client.status import ClusterStatus, cluster_status
from raft_pkg.errors import ConfigurationError
from raft_pkg.local import ports, process
from raft_pkg.local.description import (
    FILE_NAME,
    LOCK_NAME,
    ClusterDescription,
    ClusterUnavailableError,
    NodeDescription,
    locked,
)

NODE_COUNTS = (1, 3, 5, 7)
DEFAULT_NODE_COUNT = 3
STATUS_TIMEOUT_SECONDS = 1.0
POLL_SECONDS = 0.05
STDERR_LINES = 10
"""Number of lines of a failed node's stderr in the error message."""
PROXY_ID = "proxy"
_RAFTCTL = (sys.executable, "-m", "raft_pkg.cli")


@dataclass(frozen=True, slots=True)
class LocalClusterOptions:
    """Options of `LocalCluster.up`. None keeps the value of an existing cluster, or takes the default for a new one."""

    nodes: int | None = None
    """Number of initial nodes, one of `NODE_COUNTS`."""
    base_port: int | None = None
    """First of consecutive ports: those for gRPC come first, then those for HTTP."""
    election_timeout_ms_min: int | None = None
    election_timeout_ms_max: int | None = None
    heartbeat_interval_ms: int | None = None
    proxy: bool | None = None
    """Whether the nodes connect to each other through a `raftctl proxy`."""
    command: str | None = None
    """Command that starts a node of another system (docs/reference/contract.md); "" for `raftctl serve`."""


@dataclass(frozen=True, slots=True)
class LocalClusterStatus:
    """The cluster's description, and the replies of its nodes in the same order."""

    directory: Path
    description: ClusterDescription
    cluster: ClusterStatus

    def to_json(self) -> dict[str, Any]:
        """Return the status in the form that docs/reference/cli.md documents."""
        return {
            "dir": str(self.directory),
            "endpoints": ",".join(self.description.endpoints),
            "leader": self.cluster.leader_id,
            "term": self.cluster.term,
            "proxy": None if self.description.proxy is None else self.description.proxy.http,
            "nodes": [
                {
                    "id": node.id,
                    "endpoint": node.endpoint,
                    "http": node.http,
                    "pid": node.pid if (state := process.state(node)) != "stopped" else None,
                    "state": state,
                    "role": answered.response.role if answered.reachable else None,
                    "term": answered.response.term if answered.reachable else None,
                    "log": str(self.directory / node.id / "stdout.log"),
                    "data_dir": str(self.directory / node.id / "data"),
                    "status": answered.to_json(),
                }
                for node, answered in zip(self.description.nodes, self.cluster.nodes, strict=True)
            ],
        }


class LocalCluster:
    """Starts, stops, pauses and adds nodes.

    Every method that changes the cluster holds the directory's lock and saves each change at once, so that several
    processes may work on one cluster. Only `down(purge=True)` and `discard` remove data.

    All methods raise `ConfigurationError` when there is no cluster or no such node, or when a port or the directory is
    not usable. They raise `ClusterUnavailableError` when the desired state is not reached in time.
    """

    def __init__(
        self, directory: Path, *, timeout: float = 30.0, progress: Callable[[str], None] = lambda _line: None
    ) -> None:
        """`timeout`, in seconds, limits every wait. `progress` is called with a line for each process started."""
        self.directory = directory.absolute()
        self._timeout = timeout
        self._progress = progress

    def up(self, options: LocalClusterOptions) -> bool:
        """Start or resume all nodes and wait until all follow one leader; return whether anything changed."""
        deadline = time.monotonic() + self._timeout
        with locked(self.directory, self._timeout):
            description = self._describe(options)
            self._launch_proxy(description)
            resumed = self._resume([n for n in description.nodes if process.state(n) == "paused"])
            started = self._launch(description, [n for n in description.nodes if process.state(n) == "stopped"])
        self._wait(description, started, _all_follow_one_leader, "no leader that all nodes follow", deadline)
        return bool(resumed or started)

    def down(self, *, purge: bool = False) -> list[str]:
        """Stop all nodes, and with `purge` remove their data and logs; return the ids of those that ran."""
        if ClusterDescription.load(self.directory) is None:
            return []
        with locked(self.directory, self._timeout):
            description = self.load()
            stopped = process.stop(description.nodes)
            everything = [*description.nodes, *([description.proxy] if description.proxy else [])]
            process.stop(everything)
            for node in everything:
                node.pid = node.process_created = None
            if purge:
                self._purge(description)
            else:
                description.save(self.directory)
        return stopped

    def kill(self, node_ids: Sequence[str]) -> list[str]:
        """Send SIGKILL to nodes; return the ids of those that ran."""
        with locked(self.directory, self._timeout):
            return process.kill(self._nodes(self.load(), node_ids))

    def start(self, node_ids: Sequence[str]) -> list[str]:
        """Start stopped nodes and wait until they serve; return their ids."""
        deadline = time.monotonic() + self._timeout
        with locked(self.directory, self._timeout):
            description = self.load()
            self._launch_proxy(description)
            stopped = [n for n in self._nodes(description, node_ids) if process.state(n) == "stopped"]
            started = self._launch(description, stopped)
        endpoints = {node.endpoint for node in stopped}
        self._wait(
            description,
            started,
            lambda status: all(node.reachable for node in status.nodes if node.endpoint in endpoints),
            f"{', '.join(started)} did not begin to serve",
            deadline,
        )
        return list(started)

    def add(self, node_ids: Sequence[str]) -> list[str]:
        """Create and start nodes that wait to be added to the configuration; return the ids of the new ones."""
        deadline = time.monotonic() + self._timeout
        with locked(self.directory, self._timeout):
            description = self.load()
            known = {node.id for node in description.nodes}
            new = [NodeDescription(node_id, "", "") for node_id in dict.fromkeys(node_ids) if node_id not in known]
            _assign_ports(new, None, internal=bool(description.command))
            for node in new:
                node.joined = True
            description.nodes += new
            description.save(self.directory)
            started = self._launch(description, new)
        self._wait(description, started, lambda _status: True, f"{', '.join(started)} did not begin to serve", deadline)
        return list(started)

    def discard(self, node_ids: Sequence[str]) -> list[str]:
        """Stop nodes that `add` created and remove their data, but not their logs; return their ids.

        Raise `ConfigurationError` for an initial node.
        """
        with locked(self.directory, self._timeout):
            description = self.load()
            discarded = [node for node in description.nodes if node.id in node_ids]
            if initial := [node.id for node in discarded if not node.joined]:
                raise ConfigurationError(f"{', '.join(initial)}: initial nodes can't be discarded, only added ones")
            process.stop(discarded)
            for node in discarded:
                description.nodes.remove(node)
                shutil.rmtree(self.directory / node.id / "data", ignore_errors=True)
            description.save(self.directory)
        return [node.id for node in discarded]

    def pause(self, node_ids: Sequence[str]) -> list[str]:
        """Send SIGSTOP to nodes; return the ids of those that ran."""
        with locked(self.directory, self._timeout):
            running = [n for n in self._nodes(self.load(), node_ids) if process.state(n) == "running"]
            for node in running:
                process.send(node, signal.SIGSTOP)
                process.wait_for_state(node, "paused")
        return [node.id for node in running]

    def resume(self, node_ids: Sequence[str]) -> list[str]:
        """Send SIGCONT to nodes; return the ids of those that were paused."""
        with locked(self.directory, self._timeout):
            description = self.load()
            paused = [n for n in self._nodes(description, node_ids) if process.state(n) == "paused"]
            return self._resume(paused)

    def status(self) -> LocalClusterStatus:
        """Ask all nodes for their status."""
        description = self.load()
        replies = asyncio.run(cluster_status(description.endpoints, STATUS_TIMEOUT_SECONDS))
        return LocalClusterStatus(self.directory, description, replies)

    def load(self) -> ClusterDescription:
        """Return the cluster's description. Raise `ConfigurationError` if there is no cluster."""
        description = ClusterDescription.load(self.directory)
        if description is None:
            raise ConfigurationError(f"no local cluster in {self.directory}; make one with `raftctl cluster up`")
        return description

    def _describe(self, options: LocalClusterOptions) -> ClusterDescription:
        """Load the description or create one, apply the options, and save it."""
        description = ClusterDescription.load(self.directory)
        if description is None:
            count = options.nodes or DEFAULT_NODE_COUNT
            if count not in NODE_COUNTS:
                raise ConfigurationError(f"--nodes {count}: choose {', '.join(map(str, NODE_COUNTS))}")
            description = ClusterDescription(
                [NodeDescription(f"raft-{i}", "", "") for i in range(count)], command=options.command or ""
            )
            _assign_ports(description.nodes, options.base_port, internal=bool(description.command))
        elif options.nodes not in (None, len(description.initial)):
            raise ConfigurationError(
                f"{self.directory} has a cluster of {len(description.initial)} nodes, not {options.nodes}; "
                "use another --dir, or remove its data with `raftctl cluster down --purge`"
            )
        if options.command not in (None, description.command):
            raise ConfigurationError(
                f"{self.directory} has a cluster of another system, started with "
                f"`{description.command or 'raftctl serve'}`; "
                "use another --dir, or remove its data with `raftctl cluster down --purge`"
            )
        changed = _apply_options(description, options)
        if changed and (running := [node.id for node in description.nodes if process.find(node) is not None]):
            raise ConfigurationError(
                f"{', '.join(changed)}: {', '.join(running)} run with other values; `raftctl cluster down` first"
            )
        description.save(self.directory)
        return description

    def _launch_proxy(self, description: ClusterDescription) -> None:
        """Start the proxy if the cluster has one that does not run. Nodes keep trying to connect to it."""
        proxy = description.proxy
        if proxy is None or process.find(proxy) is not None:
            return
        home = self.directory / proxy.id
        home.mkdir(exist_ok=True)
        command = [*_RAFTCTL, "proxy", "serve", "--listen", proxy.endpoint, "--control", proxy.http]
        process.launch(proxy, command, {}, home / "stdout.log", home / "stderr.log")
        description.save(self.directory)

    def _launch(self, description: ClusterDescription, nodes: Sequence[NodeDescription]) -> dict[str, "_StartedNode"]:
        """Start stopped nodes; return them by id."""
        for node in nodes:
            ports.check_free(node.endpoint, node.id)
            ports.check_free(node.http, node.id)
            if node.internal:
                ports.check_free(node.internal, node.id)
        started = {}
        for node in nodes:
            home = self.directory / node.id
            home.mkdir(exist_ok=True)
            stderr = home / "stderr.log"
            stderr_offset = stderr.stat().st_size if stderr.exists() else 0
            if description.command:
                command, environment = shlex.split(description.command), _environment(description, node, home / "data")
            else:
                command, environment = [*_RAFTCTL, *_serve_arguments(description, node, home / "data")], {}
            child = process.launch(node, command, environment, home / "stdout.log", stderr)
            description.save(self.directory)
            started[node.id] = _StartedNode(child, stderr, stderr_offset)
            self._progress(f"{node.id}: started at {node.endpoint}, process {node.pid}, logs in {home}")
        return started

    def _resume(self, nodes: Sequence[NodeDescription]) -> list[str]:
        for node in nodes:
            process.send(node, signal.SIGCONT)
            process.wait_for_state(node, "running")
            self._progress(f"{node.id}: resumed, process {node.pid}")
        return [node.id for node in nodes]

    def _wait(
        self,
        description: ClusterDescription,
        started: dict[str, "_StartedNode"],
        reached: Callable[[ClusterStatus], bool],
        missing: str,
        deadline: float,
    ) -> None:
        """Wait until the started nodes serve and `reached` holds; fail at once when one of them has ended.

        `missing` says in the error message what was not reached.
        """
        endpoints = {description.node(node_id).endpoint for node_id in started}
        while True:
            for node_id, child in started.items():
                child.check_alive(node_id)
            status = asyncio.run(cluster_status(description.endpoints, STATUS_TIMEOUT_SECONDS))
            serving = all(node.reachable for node in status.nodes if node.endpoint in endpoints)
            if serving and reached(status):
                return
            if time.monotonic() > deadline:
                observed = "; ".join(
                    f"{node.endpoint}: {node.error or f'{node.response.role} in term {node.response.term}'}"
                    for node in status.nodes
                )
                raise ClusterUnavailableError(
                    f"{missing} within {self._timeout:g} s ({observed}); see the logs under {self.directory}"
                )
            time.sleep(POLL_SECONDS)

    def _nodes(self, description: ClusterDescription, node_ids: Sequence[str]) -> list[NodeDescription]:
        return [description.node(node_id) for node_id in dict.fromkeys(node_ids)]

    def _purge(self, description: ClusterDescription) -> None:
        # Discarded nodes are no longer in the description; their logs remain.
        discarded = [log.parent for log in self.directory.glob("*/stderr.log")]
        for home in {*(self.directory / node.id for node in description.nodes), *discarded}:
            if home.exists():
                shutil.rmtree(home)
        for name in (FILE_NAME, LOCK_NAME):
            (self.directory / name).unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()


@dataclass(frozen=True, slots=True)
class _StartedNode:
    """A node process that this process started."""

    child: "subprocess.Popen[bytes]"
    stderr: Path
    stderr_offset: int
    """Size of the file before the node was started: what follows is the node's own."""

    def check_alive(self, node_id: str) -> None:
        """Raise an error with the last lines of stderr if the process has ended."""
        status = self.child.poll()
        if status is None:
            return
        with self.stderr.open("rb") as file:
            file.seek(self.stderr_offset)
            lines = file.read().decode(errors="replace").strip().splitlines()[-STDERR_LINES:]
        message = f"{node_id} ended with exit status {status}: " + ("\n".join(lines) or f"{self.stderr} is empty")
        raise ConfigurationError(message) if status == 2 else ClusterUnavailableError(message)


def _all_follow_one_leader(status: ClusterStatus) -> bool:
    return status.leader_id is not None and all(
        node.response.leader_id == status.leader_id and node.response.term == status.term for node in status.nodes
    )


def _assign_ports(nodes: Sequence[NodeDescription], base_port: int | None, *, internal: bool) -> None:
    """Assign ports: first those for gRPC, then those for HTTP, then those between the nodes of another system."""
    count = len(nodes)
    wanted = count * (3 if internal else 2)
    chosen = ports.choose_ports(wanted) if base_port is None else list(range(base_port, base_port + wanted))
    if chosen and chosen[-1] > 65535:
        raise ConfigurationError(f"--base-port {base_port}: the {wanted} ports from there exceed 65535")
    for i, node in enumerate(nodes):
        node.endpoint = f"{ports.HOST}:{chosen[i]}"
        node.http = f"{ports.HOST}:{chosen[count + i]}"
        node.internal = f"{ports.HOST}:{chosen[2 * count + i]}" if internal else ""


def _apply_options(description: ClusterDescription, options: LocalClusterOptions) -> list[str]:
    """Change the description; return the command-line options that made a difference."""
    changed = []
    for name in ("election_timeout_ms_min", "election_timeout_ms_max", "heartbeat_interval_ms"):
        wanted = getattr(options, name)
        if wanted not in (None, getattr(description, name)):
            setattr(description, name, wanted)
            changed.append(f"--{name.replace('_', '-')} {wanted}")
    before = description.endpoints
    if options.base_port is not None:
        _assign_ports(description.nodes, options.base_port, internal=bool(description.command))
    if description.endpoints != before:
        changed.append(f"--base-port {options.base_port}")
    if options.proxy not in (None, description.proxy is not None):
        endpoint, http = ports.choose_ports(2)
        description.proxy = (
            NodeDescription(PROXY_ID, f"{ports.HOST}:{endpoint}", f"{ports.HOST}:{http}") if options.proxy else None
        )
        changed.append("--proxy" if options.proxy else "--no-proxy")
    return changed


def _serve_arguments(description: ClusterDescription, node: NodeDescription, data_dir: Path) -> list[str]:
    return [
        "serve",
        *("--id", node.id),
        *("--listen", node.endpoint),
        *("--peers", description.peers),
        *(("--address", node.endpoint) if node.joined else ()),
        *("--data-dir", str(data_dir)),
        *("--http", node.http),
        *("--election-timeout-ms-min", str(description.election_timeout_ms_min)),
        *("--election-timeout-ms-max", str(description.election_timeout_ms_max)),
        *("--heartbeat-interval-ms", str(description.heartbeat_interval_ms)),
        *(("--peer-proxy", description.proxy.endpoint) if description.proxy else ()),
    ]


def _environment(description: ClusterDescription, node: NodeDescription, data_dir: Path) -> dict[str, str]:
    """Return the environment of a node of another system; see docs/reference/contract.md."""
    return {
        "RAFT_ID": node.id,
        "RAFT_LISTEN": node.endpoint,
        "RAFT_HTTP": node.http,
        "RAFT_PEERS": description.peers,
        "RAFT_PEERS_INTERNAL": description.internal_peers,
        "RAFT_ADDRESS": node.endpoint,
        "RAFT_DATA_DIR": str(data_dir),
        "RAFT_ELECTION_TIMEOUT_MS_MIN": str(description.election_timeout_ms_min),
        "RAFT_ELECTION_TIMEOUT_MS_MAX": str(description.election_timeout_ms_max),
        "RAFT_HEARTBEAT_INTERVAL_MS": str(description.heartbeat_interval_ms),
    }
