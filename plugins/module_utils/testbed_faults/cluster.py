"""What faults need of a cluster, whatever it runs on."""

from __future__ import annotations

from typing import Any, Protocol

from ansible.module_utils.testbed_faults.shell import Place
from ansible.module_utils.testbed_faults.view import View


class Cluster(Protocol):
    """A cluster that faults can be injected into; local.py and kubernetes.py are two."""

    platform: str
    """local or kubernetes."""
    machine: Place
    """This machine, from which everything is reached."""
    election_seconds_max: float
    """Longest election time-out of the nodes."""
    system: str
    """Which Raft it is; raft_pkg is ours."""
    client_silence_seconds: float
    """How long clients wait for a node that says nothing."""

    def places(self) -> list[Place]:
        """Everywhere that undoings may have been armed."""
        ...

    def view(self) -> View: ...

    def place_of(self, node_id: str) -> Place:
        """Where the node's process and data are."""
        ...

    def pid_of(self, node_id: str) -> int:
        """Number of the node's first process at its place; it has others only in other systems."""
        ...

    def signal_script(self, node_id: str, signal: str) -> str:
        """Script for the node's place that sends a signal (STOP, CONT, KILL) to all its processes, as they are now."""
        ...

    def data_dir(self, node_id: str) -> str:
        """The node's data directory at its place."""
        ...

    def start_script(self, node_id: str) -> str:
        """Script for the node's place that starts it when it does not run."""
        ...

    def end_script(self, node_id: str, data_dir: str) -> str:
        """Script for the node's place that kills whatever process of the node uses a file system mounted there."""
        ...

    def start_again(self, node_id: str) -> None:
        """See to it that a node that was ended, or failed to start, is started now."""
        ...

    def failure_of(self, node_id: str, process_before: str, seconds_max: float) -> str:
        """How the node's newest start failed: exit status and last words; empty when it did not in the time."""
        ...

    def log_of(self, node_id: str, since: float) -> list[dict[str, Any]]:
        """Events that the node logged since then (seconds since 1970)."""
        ...

    def raftctl(self, *arguments: str, seconds: float = 60.0) -> str:
        """Run raftctl with the cluster's endpoints. Raises `ShellError`."""
        ...

    def raftctl_script(self, *arguments: str) -> str:
        """The same as a script for this machine."""
        ...
