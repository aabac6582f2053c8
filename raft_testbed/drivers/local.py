"""Driver for nodes that are processes on this machine, managed by `raftctl cluster`."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.proxy_network import ProxyNetwork
from raft_testbed.events import LogEvent, events_since
from raft_testbed.nemesis.cluster import NetworkRules, Signal, Unavailable
from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.host import Host, this_machine
from raft_testbed.nemesis.view import ClusterView, NodeView, add_status

_NO_PODS = Unavailable("local nodes are processes, not Pods")


class LocalProcesses:
    """A cluster of local processes. It implements the capabilities of processes, volumes and scaling itself."""

    client_network = Unavailable("local clients connect to the nodes directly, not through the proxy")
    pods = _NO_PODS
    containers = _NO_PODS
    images = Unavailable("local nodes have no image")
    machines = Unavailable("local nodes are processes of this one machine")

    def __init__(self, deployment: Deployment, unresponsive_seconds: float) -> None:
        self._raftctl = deployment.raftctl
        self._dir = deployment.dir
        self.system = deployment.system
        self.unresponsive_seconds = unresponsive_seconds
        self.control_host = this_machine(deployment.state_dir)
        description = json.loads((Path(self._dir) / "cluster.json").read_text(encoding="utf-8"))
        self.election_timeout_seconds_max: float = description["election_timeout_ms_max"] / 1000
        self.network = self._proxy((description.get("proxy") or {}).get("http", ""))

    @property
    def signals(self) -> "LocalProcesses":
        return self

    @property
    def volumes(self) -> "LocalProcesses":
        return self

    @property
    def scaling(self) -> "LocalProcesses":
        return self

    def _proxy(self, control_address: str) -> NetworkRules | Unavailable:
        if control_address:
            return ProxyNetwork(self.control_host, self._raftctl, control_address)
        if self.system != "raft_pkg":
            return Unavailable(f"the proxy does not know the messages between nodes of {self.system}")
        return Unavailable("the nodes connect to each other directly: deploy with raft_proxy=true")

    # --- cluster ----------------------------------------------------------------------------------------------------

    def hosts(self) -> list[Host]:
        return [self.control_host]

    def host_of(self, node_id: str) -> Host:
        return self.control_host

    def view(self) -> ClusterView:
        status = self._status()
        nodes = [NodeView(node["id"], str(node["pid"] or ""), node["state"]) for node in status["nodes"]]
        return add_status(nodes, [node["status"] for node in status["nodes"]])

    def start_script(self, node_id: str) -> str:
        return self._cluster_script("start", node_id)

    def ensure_started(self, node_id: str) -> None:
        self.control_host.run(self.start_script(node_id))

    def start_failure(self, node_id: str, process_before: str, seconds_max: float) -> str:
        del process_before, seconds_max  # `raftctl cluster start` itself waits for the node
        try:
            self.ensure_started(node_id)
        except CommandError as error:
            return str(error)
        return ""

    def log_events(self, node_id: str, since: float) -> list[LogEvent]:
        log = Path(self._dir) / node_id / "stdout.log"
        return events_since(log.read_text(encoding="utf-8", errors="replace").splitlines(), since)

    def raftctl(self, *arguments: str, seconds_max: float = 60.0) -> str:
        return self.control_host.run(self.raftctl_script(*arguments), seconds_max=seconds_max)

    def raftctl_script(self, *arguments: str) -> str:
        endpoints = f"RAFT_ENDPOINTS={self._status()['endpoints']}"
        return shlex.join(["env", endpoints, self._raftctl, *arguments])

    # --- signals ----------------------------------------------------------------------------------------------------

    def pid(self, node_id: str) -> int:
        pid = self._node(node_id)["pid"]
        if pid is None:
            raise CommandError(f"{node_id} has no process")
        return int(pid)

    def script(self, node_id: str, signal: Signal) -> str:
        return f"kill -s {signal} -- -{self.pid(node_id)}"  # the process group

    # --- volumes ----------------------------------------------------------------------------------------------------

    def data_dir(self, node_id: str) -> str:
        return str(self._node(node_id)["data_dir"])

    def mount_unavailable(self) -> str:
        return "" if os.geteuid() == 0 else "only root may mount another file system over a data directory"

    def kill_users_script(self, node_id: str, data_dir: str) -> str:
        return self._cluster_script("kill", node_id)

    # --- scaling ----------------------------------------------------------------------------------------------------

    def add(self, node_ids: list[str]) -> dict[str, str]:
        self.control_host.run(self._cluster_script("add", *node_ids))
        return {node_id: str(self._node(node_id)["endpoint"]) for node_id in node_ids}

    def remove_script(self, node_ids: list[str]) -> str:
        return self._cluster_script("discard", *node_ids)

    # --- raftctl ----------------------------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        """Return the output of `raftctl cluster status --json`; its exit status 3 means that there is no leader."""
        script = f"{self._cluster_script('status', '--json')} || [ $? -eq 3 ]"
        status: dict[str, Any] = json.loads(self.control_host.run(script))
        return status

    def _node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self._status()["nodes"] if node["id"] == node_id)

    def _cluster_script(self, *arguments: str) -> str:
        return shlex.join([self._raftctl, "cluster", *arguments, "--dir", self._dir])
