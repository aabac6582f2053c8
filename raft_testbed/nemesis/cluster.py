"""The interface between faults and platforms: a cluster, and the capabilities that a platform may lack.

A driver sets each capability of its cluster to an object with the protocol's methods, or to `Unavailable` with the
reason. A fault lists what it needs (`Fault.needs`) and calls `require`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from raft_testbed.events import LogEvent
from raft_testbed.faults import Evidence
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.host import Host
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import ClusterView
from raft_testbed.proxy.link_rules import LinkRule

Capability = Literal[
    "signals", "volumes", "network", "client_network", "pods", "containers", "images", "scaling", "machines"
]
Signal = Literal["STOP", "CONT", "KILL"]
MachineAction = Literal["kill", "start", "restart", "pause", "unpause"]


@dataclass(frozen=True)
class Unavailable:
    """A capability that a cluster lacks."""

    reason: str


T = TypeVar("T")


def require(capability: T | Unavailable) -> T:
    """Return the capability. Raise `FaultError` with the reason if the cluster lacks it."""
    if isinstance(capability, Unavailable):
        raise FaultError(capability.reason)
    return capability


class Signals(Protocol):
    """Signals to the nodes' processes."""

    def pid(self, node_id: str) -> int:
        """Return the process id of the node's first process, as its host numbers it."""
        ...

    def script(self, node_id: str, signal: Signal) -> str:
        """Return a script for the node's host that sends a signal to all current processes of the node."""
        ...


class Volumes(Protocol):
    """The nodes' data directories."""

    def data_dir(self, node_id: str) -> str:
        """Return the path of the node's data directory on its host."""
        ...

    def mount_unavailable(self) -> str:
        """Return why no file system can be mounted over a data directory; empty: it can."""
        ...

    def kill_users_script(self, node_id: str, data_dir: str) -> str:
        """Return a script for the node's host that kills the processes which use the file system mounted there."""
        ...


class NetworkRules(Protocol):
    """Rules for the traffic between nodes."""

    def unavailable(self, rule: LinkRule) -> str:
        """Return why such a rule can't be applied, whatever its links are; empty: it can."""
        ...

    def apply(self, injection: Injection, rule: LinkRule) -> None:
        """Arm the revert, then apply the rule to all its links at once."""
        ...

    def effect(self, injection: Injection, rule: LinkRule) -> Evidence:
        """Return whether the applied rule affected any traffic since `apply`."""
        ...


class ClientNetwork(Protocol):
    """The traffic between the nodes and the clients of the run."""

    def unavailable(self) -> str:
        """Return why clients can't be cut off alone; empty: they can."""
        ...

    def cut(self, injection: Injection) -> None:
        """Arm the revert, then drop all traffic between the targets and the clients."""
        ...

    def dropped_packets(self, node_id: str) -> int:
        """Return how many packets from clients the node dropped so far."""
        ...


class Pods(Protocol):
    """The nodes' Pods."""

    def delete(self, node_ids: list[str]) -> None:
        """Delete Pods without waiting for their end."""
        ...


class Containers(Protocol):
    """The nodes' containers, by way of the container runtime."""

    def kill(self, node_id: str) -> None:
        """Kill the node's container, unknown to Kubernetes."""
        ...


class Images(Protocol):
    """The image that the nodes run."""

    def current(self) -> dict[str, str]:
        """Return the image of each node."""
        ...

    def retag(self, tag: str) -> tuple[str, str]:
        """Push the nodes' image under another tag. Return the name before and the new one."""
        ...

    def roll_out_script(self, image: str) -> str:
        """Return a script for the control host that gives all nodes an image, one node after the other, and waits."""
        ...


class Scaling(Protocol):
    """The number of nodes."""

    def add(self, node_ids: list[str]) -> dict[str, str]:
        """Start further nodes, which are not members yet. Return their addresses."""
        ...

    def remove_script(self, node_ids: list[str]) -> str:
        """Return a script for the control host that removes nodes of `add`, with their data, if they exist."""
        ...


class Machines(Protocol):
    """The Kubernetes nodes; called machines here, since a node is a Raft node."""

    def unavailable(self) -> str:
        """Return why no machine may be broken; empty: one may."""
        ...

    def machine_of(self, node_id: str) -> str:
        """Return the machine that runs a node."""
        ...

    def host(self, machine: str) -> Host: ...

    def script(self, machine: str, action: MachineAction) -> str:
        """Return a script for the control host that acts on a machine."""
        ...

    def state(self, machine: str) -> str:
        """Return the container engine's state of a machine, e.g. `running`, `exited`, `paused`."""
        ...


class Cluster(Protocol):
    """A cluster that faults are injected into."""

    system: str
    """Name of the Raft implementation; `raft_pkg` is this project's own."""
    control_host: Host
    """This machine, which reaches all others."""
    election_timeout_seconds_max: float
    """Upper bound of the nodes' randomized election time-out."""
    unresponsive_seconds: float
    """How long clients wait for an unresponsive node before they try another."""

    @property
    def signals(self) -> Signals | Unavailable: ...

    @property
    def volumes(self) -> Volumes | Unavailable: ...

    @property
    def network(self) -> NetworkRules | Unavailable: ...

    @property
    def client_network(self) -> ClientNetwork | Unavailable: ...

    @property
    def pods(self) -> Pods | Unavailable: ...

    @property
    def containers(self) -> Containers | Unavailable: ...

    @property
    def images(self) -> Images | Unavailable: ...

    @property
    def scaling(self) -> Scaling | Unavailable: ...

    @property
    def machines(self) -> Machines | Unavailable: ...

    def hosts(self) -> list[Host]:
        """Return every host that may have armed switches, the control host first."""
        ...

    def host_of(self, node_id: str) -> Host:
        """Return the host of a node's process and data."""
        ...

    def view(self) -> ClusterView: ...

    def start_script(self, node_id: str) -> str:
        """Return a script for the node's host that starts the node unless it runs."""
        ...

    def ensure_started(self, node_id: str) -> None:
        """Start a node that has ended or failed to start, without the delay of a restart back-off."""
        ...

    def start_failure(self, node_id: str, process_before: str, seconds_max: float) -> str:
        """Return the exit status and last output of a process after `process_before` that failed to start.

        Wait up to `seconds_max` for the failure. Empty: none failed.
        """
        ...

    def log_events(self, node_id: str, since: float) -> list[LogEvent]:
        """Return the node's log events since a time in seconds since 1970."""
        ...

    def raftctl(self, *arguments: str, seconds_max: float = 60.0) -> str:
        """Run raftctl with the cluster's endpoints and return its output. Raise `CommandError` if it fails."""
        ...

    def raftctl_script(self, *arguments: str) -> str:
        """Return a script for the control host that runs raftctl with the cluster's endpoints."""
        ...
