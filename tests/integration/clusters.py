"""Clusters of node processes on the loopback interface, started and stopped by raftctl as a user would."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.servers import free_ports

# Machines that run tests are busy: a leader that gets no CPU time for a moment must not lose its leadership.
PATIENT = ("--election-timeout-ms-min", "400", "--election-timeout-ms-max", "800", "--heartbeat-interval-ms", "80")
COMMAND_TIMEOUT_SECONDS = 60


def run_raftctl(*arguments: str, stdin: bytes | None = None) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "raft_pkg.cli", *arguments],
        input=stdin,
        capture_output=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def serving(node_id: str, directory: Path, members: Mapping[str, str], *options: str) -> Iterator[int]:
    """Run one more node process, which belongs to no cluster and knows some members of one; yield its port."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    peers = ",".join(f"{peer}={at}" for peer, at in {node_id: address, **members}.items())
    command = ["serve", "--id", node_id, "--listen", address, "--peers", peers, "--data-dir", str(directory / node_id)]
    with (directory / f"{node_id}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "raft_pkg.cli", *command, *options], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(COMMAND_TIMEOUT_SECONDS)


@dataclass
class Cluster:
    """A local cluster in a directory."""

    directory: Path

    def control(self, command: str, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Run `raftctl cluster COMMAND … --json`, which must exit with `status`; return its output."""
        done = run_raftctl("cluster", command, *arguments, "--dir", str(self.directory), "--json")
        assert done.returncode == status, f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout else {}

    def refused(self, command: str, *arguments: str, status: int = 2) -> str:
        """Run a command that must fail with `status`; return its stderr."""
        done = run_raftctl("cluster", command, *arguments, "--dir", str(self.directory))
        assert done.returncode == status, f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def up(self, *arguments: str) -> dict[str, Any]:
        return self.control("up", *PATIENT, *arguments)

    def processes(self) -> list[psutil.Process]:
        """Return all processes that name this cluster's directory, even if its description does not list them."""
        return [p for p in psutil.process_iter(["cmdline", "status"]) if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        command = process.info["cmdline"] or []
        return (
            "serve" in command
            and any(argument.startswith(f"{self.directory}/") for argument in command)
            and process.info["status"] != psutil.STATUS_ZOMBIE
        )

    def wipe(self) -> None:
        """Kill the nodes, remove their files, and check that no process is left."""
        if (self.directory / "cluster.json").exists():
            self.control("kill", "--all")
            self.control("down", "--purge")
        left = self.processes()
        for process in left:
            process.kill()
        assert not left, f"raftctl cluster left {left}"
