"""The nodes of a kind cluster: containers of this machine's engine, entered with `docker exec`.

The docker command line rather than its Python package: scripts and file contents travel by standard input, which the
package can't attach to an exec, and the detached dead man's switches are shell scripts anyway.
"""

import shlex

from raft_testbed.nemesis.cluster import MachineAction
from raft_testbed.nemesis.host import Host, run_command

_CLUSTER_LABEL = "io.x-k8s.kind.cluster"
_ROLE_LABEL = "io.x-k8s.kind.role"
_SWITCH_DIRECTORY = "/run/raft-testbed-faults"
_SCRIPTS: dict[MachineAction, str] = {
    "kill": "docker kill {}",
    "start": "docker start {}",
    "restart": "docker restart --time 1 {}",
    "pause": "docker pause {}",
    "unpause": "docker unpause {} 2> /dev/null || true",  # fails if it is not paused
}


class KindCluster:
    """The machines of one kind cluster."""

    def __init__(self, name: str) -> None:
        self._name = name

    def hosts(self) -> list[Host]:
        """Return the running machines, sorted by name."""
        return [self.host(machine) for machine in self._machines("--filter=status=running")]

    def host(self, machine: str) -> Host:
        return Host(machine, _SWITCH_DIRECTORY, ("docker", "exec", "-i", machine))

    def workers_unavailable(self) -> str:
        """Return why no worker may be broken: it would break everything; empty: there are others."""
        workers = len(self._machines(f"--filter=label={_ROLE_LABEL}=worker"))
        return "" if workers > 1 else f"with {workers} worker(s), a fault of one breaks everything"

    def script(self, machine: str, action: MachineAction) -> str:
        return _SCRIPTS[action].format(shlex.quote(machine))

    def state(self, machine: str) -> str:
        return run_command(["docker", "inspect", "--format", "{{.State.Status}}", machine]).decode().strip()

    def _machines(self, *filters: str) -> list[str]:
        label = f"--filter=label={_CLUSTER_LABEL}={self._name}"
        return sorted(run_command(["docker", "ps", "--all", "--format={{.Names}}", label, *filters]).decode().split())
