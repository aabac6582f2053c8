"""A cluster of processes on this machine, as raftctl keeps it."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.testbed_faults.shell import Place, ShellError, this_machine
from ansible.module_utils.testbed_faults.view import NodeView, View, events_since, system_name, view_from_status

POLL_SECONDS = 0.1


class LocalCluster:
    """See cluster.py."""

    platform = "local"

    def __init__(self, record: dict[str, Any], client_silence_seconds: float) -> None:
        self._raftctl = str(record["raftctl"])
        self._dir = str(record["dir"])
        self.client_silence_seconds = client_silence_seconds
        self.system = system_name(record)
        self.machine = this_machine(record["state_dir"])
        description = json.loads((Path(self._dir) / "cluster.json").read_text(encoding="utf-8"))
        self.election_seconds_max = description["election_timeout_ms_max"] / 1000
        self.proxy = (description.get("proxy") or {}).get("http", "")

    def places(self) -> list[Place]:
        return [self.machine]

    def status(self) -> dict[str, Any]:
        """What `raftctl cluster status --json` prints; its exit status 3 says that there is no leader."""
        command = f"{self.cluster_script('status', '--json')} || [ $? -eq 3 ]"
        status: dict[str, Any] = json.loads(self.machine.run(command))
        return status

    def view(self) -> View:
        status = self.status()
        nodes = [NodeView(node["id"], str(node["pid"] or ""), node["state"]) for node in status["nodes"]]
        return view_from_status(nodes, {"nodes": [node["status"] for node in status["nodes"]]})

    def place_of(self, node_id: str) -> Place:
        return self.machine

    def pid_of(self, node_id: str) -> int:
        pid = self._node(node_id)["pid"]
        if pid is None:
            raise ShellError(f"{node_id} has no process")
        return int(pid)

    def signal_script(self, node_id: str, signal: str) -> str:
        return f"kill -s {signal} -- -{self.pid_of(node_id)}"  # its process group

    def data_dir(self, node_id: str) -> str:
        return str(self._node(node_id)["data_dir"])

    def start_script(self, node_id: str) -> str:
        return self.cluster_script("start", node_id)

    def end_script(self, node_id: str, data_dir: str) -> str:
        return self.cluster_script("kill", node_id)

    def start_again(self, node_id: str) -> None:
        self.machine.run(self.start_script(node_id))

    def failure_of(self, node_id: str, process_before: str, seconds_max: float) -> str:
        del process_before, seconds_max  # `start` waits itself
        try:
            self.start_again(node_id)
        except ShellError as error:
            return str(error)
        return ""

    def log_of(self, node_id: str, since: float) -> list[dict[str, Any]]:
        log = Path(self._dir) / node_id / "stdout.log"
        return events_since(log.read_text(encoding="utf-8", errors="replace"), since)

    def raftctl(self, *arguments: str, seconds: float = 60.0) -> str:
        return self.machine.run(self.raftctl_script(*arguments), seconds=seconds)

    def raftctl_script(self, *arguments: str) -> str:
        endpoints = f"RAFT_ENDPOINTS={self.status()['endpoints']}"
        return shlex.join(["env", endpoints, self._raftctl, *arguments])

    def proxy_script(self, *arguments: str) -> str:
        """Script that tells the proxy between the nodes something."""
        return shlex.join([self._raftctl, "proxy", *arguments, "--control", self.proxy, "--json"])

    def cluster_script(self, *arguments: str) -> str:
        """Script that runs `raftctl cluster` on this cluster."""
        return shlex.join([self._raftctl, "cluster", *arguments, "--dir", self._dir])

    def more_nodes(self, node_ids: list[str]) -> dict[str, str]:
        """Start further nodes, which are no members yet; returns their addresses."""
        self.machine.run(self.cluster_script("add", *node_ids))
        return {node_id: str(self._node(node_id)["endpoint"]) for node_id in node_ids}

    def fewer_script(self, node_ids: list[str]) -> str:
        """Script that takes away nodes that `more_nodes` started, if they are there."""
        return self.cluster_script("discard", *node_ids)

    def _node(self, node_id: str) -> dict[str, Any]:
        return next(node for node in self.status()["nodes"] if node["id"] == node_id)


def process_state(pid: int) -> str:
    """Letter of the state that Linux gives a process: T is stopped; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_until_gone(pid: int, seconds_max: float) -> bool:
    """Whether a process ends within the time; a zombie has."""
    deadline = time.monotonic() + seconds_max
    while process_state(pid) not in ("", "Z"):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_root() -> bool:
    return os.geteuid() == 0
