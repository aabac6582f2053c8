"""A cluster of node processes, described in and living under one directory."""

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
EVIDENCE_LINES = 10
PROXY_ID = "proxy"
_RAFTCTL = (sys.executable, "-m", "raft_pkg.cli")


@dataclass(frozen=True, slots=True)
class LocalClusterOptions:
    """What `up` may be asked for; None: as the directory has it, or the default for a new one."""

    nodes: int | None = None
    base_port: int | None = None  # gRPC on it and the following, HTTP on those after them
    election_timeout_ms_min: int | None = None
    election_timeout_ms_max: int | None = None
    heartbeat_interval_ms: int | None = None
    proxy: bool | None = None  # whether the nodes reach each other through a `raftctl proxy`
    command: str | None = None  # what starts a node of another system; empty: `raftctl serve`


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """The description, the processes and what the nodes say."""

    directory: Path
    description: ClusterDescription
    cluster: ClusterStatus

    def to_json(self) -> dict[str, Any]:
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
    """Starts and ends nodes. Every change is made under the directory's lock and recorded at once.

    Data is removed by `down(purge=True)` and by nothing else.
    """

    def __init__(
        self, directory: Path, *, timeout: float = 30.0, progress: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.directory = directory.absolute()
        self._timeout = timeout  # seconds, for everything that is waited for
        self._progress = progress

    def up(self, options: LocalClusterOptions) -> bool:
        """Make all nodes run and wait until all follow one leader; returns whether anything had to be done."""
        deadline = time.monotonic() + self._timeout
        with locked(self.directory, self._timeout):
            description = self._describe(options)
            self._launch_proxy(description)
            resumed = self._resume([n for n in description.nodes if process.state(n) == "paused"])
            started = self._launch(description, [n for n in description.nodes if process.state(n) == "stopped"])
        self._wait(description, started, _all_follow_one, "no leader that all nodes follow", deadline)
        return bool(resumed or started)

    def down(self, *, purge: bool = False) -> list[str]:
        """End all nodes, and with `purge` remove their data and logs; returns the ids of those that ran."""
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
        """kill -9 nodes; returns the ids of those that ran."""
        with locked(self.directory, self._timeout):
            return process.kill(self._nodes(self.load(), node_ids))

    def start(self, node_ids: Sequence[str]) -> list[str]:
        """Start stopped nodes and wait until they serve; returns the ids of those that had been stopped."""
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
        """Make and start further nodes, which know the members and wait to be made one; returns their ids."""
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
        """End nodes that `add` made and remove their data, but not their logs; returns the ids of those that were."""
        with locked(self.directory, self._timeout):
            description = self.load()
            gone = [node for node in description.nodes if node.id in node_ids]
            if begun_with := [node.id for node in gone if not node.joined]:
                raise ConfigurationError(f"{', '.join(begun_with)}: the cluster began with it; only added nodes can go")
            process.stop(gone)
            for node in gone:
                description.nodes.remove(node)
                shutil.rmtree(self.directory / node.id / "data", ignore_errors=True)
            description.save(self.directory)
        return [node.id for node in gone]

    def pause(self, node_ids: Sequence[str]) -> list[str]:
        """SIGSTOP nodes; returns the ids of those that ran."""
        with locked(self.directory, self._timeout):
            running = [n for n in self._nodes(self.load(), node_ids) if process.state(n) == "running"]
            for node in running:
                process.send(node, signal.SIGSTOP)
                process.wait_for_state(node, "paused")
        return [node.id for node in running]

    def resume(self, node_ids: Sequence[str]) -> list[str]:
        """SIGCONT nodes; returns the ids of those that were paused."""
        with locked(self.directory, self._timeout):
            description = self.load()
            paused = [n for n in self._nodes(description, node_ids) if process.state(n) == "paused"]
            return self._resume(paused)

    def status(self) -> LocalStatus:
        description = self.load()
        answers = asyncio.run(cluster_status(description.endpoints, STATUS_TIMEOUT_SECONDS))
        return LocalStatus(self.directory, description, answers)

    def load(self) -> ClusterDescription:
        """The cluster's description; raises ConfigurationError when there is no cluster."""
        description = ClusterDescription.load(self.directory)
        if description is None:
            raise ConfigurationError(f"no local cluster in {self.directory}; make one with `raftctl cluster up`")
        return description

    def _describe(self, options: LocalClusterOptions) -> ClusterDescription:
        """The description to go by: the directory's own, or a new one; saved."""
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
                "use another --dir, or give its data up with `raftctl cluster down --purge`"
            )
        if options.command not in (None, description.command):
            raise ConfigurationError(
                f"{self.directory} has a cluster of another system, started with "
                f"`{description.command or 'raftctl serve'}`; "
                "use another --dir, or give its data up with `raftctl cluster down --purge`"
            )
        changed = _apply(description, options)
        if changed and (running := [node.id for node in description.nodes if process.find(node) is not None]):
            raise ConfigurationError(
                f"{', '.join(changed)}: {', '.join(running)} run with other values; `raftctl cluster down` first"
            )
        description.save(self.directory)
        return description

    def _launch_proxy(self, description: ClusterDescription) -> None:
        """Start the proxy where there is to be one and it does not run; nodes connect to it as soon as it serves."""
        proxy = description.proxy
        if proxy is None or process.find(proxy) is not None:
            return
        home = self.directory / proxy.id
        home.mkdir(exist_ok=True)
        command = [*_RAFTCTL, "proxy", "serve", "--listen", proxy.endpoint, "--control", proxy.http]
        process.launch(proxy, command, {}, home / "stdout.log", home / "stderr.log")
        description.save(self.directory)

    def _launch(self, description: ClusterDescription, nodes: Sequence[NodeDescription]) -> dict[str, "_Started"]:
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
            seen_bytes = stderr.stat().st_size if stderr.exists() else 0
            if description.command:
                command, environment = shlex.split(description.command), _environment(description, node, home / "data")
            else:
                command, environment = [*_RAFTCTL, *_serve_arguments(description, node, home / "data")], {}
            child = process.launch(node, command, environment, home / "stdout.log", stderr)
            description.save(self.directory)
            started[node.id] = _Started(child, stderr, seen_bytes)
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
        started: dict[str, "_Started"],
        reached: Callable[[ClusterStatus], bool],
        missing: str,
        deadline: float,
    ) -> None:
        """Wait until the nodes that were started serve and `reached` holds; fail at once when one of them has died."""
        ours = {description.node(node_id).endpoint for node_id in started}
        while True:
            for node_id, child in started.items():
                child.check_alive(node_id)
            status = asyncio.run(cluster_status(description.endpoints, STATUS_TIMEOUT_SECONDS))
            serving = all(node.reachable for node in status.nodes if node.endpoint in ours)
            if serving and reached(status):
                return
            if time.monotonic() > deadline:
                seen = "; ".join(
                    f"{node.endpoint}: {node.error or f'{node.response.role} in term {node.response.term}'}"
                    for node in status.nodes
                )
                raise ClusterUnavailableError(
                    f"{missing} within {self._timeout:g} s ({seen}); see the logs under {self.directory}"
                )
            time.sleep(POLL_SECONDS)

    def _nodes(self, description: ClusterDescription, node_ids: Sequence[str]) -> list[NodeDescription]:
        return [description.node(node_id) for node_id in dict.fromkeys(node_ids)]

    def _purge(self, description: ClusterDescription) -> None:
        # those of nodes that were discarded are known by their logs alone
        discarded = [log.parent for log in self.directory.glob("*/stderr.log")]
        for home in {*(self.directory / node.id for node in description.nodes), *discarded}:
            if home.exists():
                shutil.rmtree(home)
        for name in (FILE_NAME, LOCK_NAME):
            (self.directory / name).unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()


@dataclass(frozen=True, slots=True)
class _Started:
    """A node that was started just now, and where its stderr of this time begins."""

    child: "subprocess.Popen[bytes]"
    stderr: Path
    seen_bytes: int

    def check_alive(self, node_id: str) -> None:
        status = self.child.poll()
        if status is None:
            return
        with self.stderr.open("rb") as file:
            file.seek(self.seen_bytes)
            lines = file.read().decode(errors="replace").strip().splitlines()[-EVIDENCE_LINES:]
        message = f"{node_id} ended with exit status {status}: " + ("\n".join(lines) or f"nothing in {self.stderr}")
        raise ConfigurationError(message) if status == 2 else ClusterUnavailableError(message)


def _all_follow_one(status: ClusterStatus) -> bool:
    return status.leader_id is not None and all(
        node.response.leader_id == status.leader_id and node.response.term == status.term for node in status.nodes
    )


def _assign_ports(nodes: Sequence[NodeDescription], base_port: int | None, *, internal: bool) -> None:
    """Give each node its ports: first all for gRPC, then all for HTTP, then those that another system has besides."""
    count = len(nodes)
    wanted = count * (3 if internal else 2)
    chosen = ports.choose_ports(wanted) if base_port is None else list(range(base_port, base_port + wanted))
    if chosen and chosen[-1] > 65535:
        raise ConfigurationError(f"--base-port {base_port}: {wanted} ports from there on end beyond 65535")
    for i, node in enumerate(nodes):
        node.endpoint = f"{ports.HOST}:{chosen[i]}"
        node.http = f"{ports.HOST}:{chosen[count + i]}"
        node.internal = f"{ports.HOST}:{chosen[2 * count + i]}" if internal else ""


def _apply(description: ClusterDescription, options: LocalClusterOptions) -> list[str]:
    """Take over what was asked for; returns the options that changed anything."""
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
    """What a node of another system is told, as docs/reference/contract.md has it."""
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
