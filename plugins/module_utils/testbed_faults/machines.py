"""Faults of Kubernetes' own things: Pods, containers, and the kind nodes that they run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ansible.module_utils.testbed_faults.fault import Fault, Step
from ansible.module_utils.testbed_faults.network import chain_packets
from ansible.module_utils.testbed_faults.processes import note_new_processes
from ansible.module_utils.testbed_faults.shell import kind_node

if TYPE_CHECKING:
    from random import Random

    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.view import View

NO_PODS = "local nodes are processes, not Pods"
NO_MACHINES = "local nodes are processes of this one machine"


class PodDeleted(Fault):
    """The Pod goes and comes again, with another address."""

    name = "pod-deleted"
    target = "leader"
    silent = True
    ends_process = True

    def unavailable(self, cluster: Cluster) -> str:
        return NO_PODS if cluster.platform == "local" else ""

    def inject(self, cluster: Cluster, step: Step) -> None:
        cluster.kubectl("delete", "pod", "--wait=false", *step.targets)

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.targets)


class ContainerKilled(Fault):
    """The container is ended by the container runtime of its node, behind Kubernetes' back."""

    name = "container-killed"
    ends_process = True

    def unavailable(self, cluster: Cluster) -> str:
        return NO_PODS if cluster.platform == "local" else ""

    def inject(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            container = cluster.container_of(node_id)
            cluster.place_of(node_id).run(f"ctr --namespace k8s.io task kill --signal SIGKILL {container}")

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.targets)


class MachineFault(Fault):
    """The kind node on which the chosen run suffers, and with it all others that run there."""

    seconds = 15.0
    silent = True
    forces_election = True
    broken: ClassVar[str]
    """What Docker says of the container meanwhile."""

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.platform == "local":
            return NO_MACHINES
        if not cluster.kind:
            return "the cluster's machines are not this testbed's to break"
        return cluster.lone_machine()

    def widen(self, cluster: Cluster, view: View, targets: list[str], rng: Random) -> list[str]:
        machines = {cluster.machine_of(node_id) for node_id in targets}
        return [node_id for node_id in view.ids if cluster.machine_of(node_id) in machines]

    def scripts(self, cluster: Cluster, machine: str) -> tuple[str, str]:
        """How to break it, and how to undo that."""
        raise NotImplementedError

    def inject(self, cluster: Cluster, step: Step) -> None:
        machines = sorted({cluster.machine_of(node_id) for node_id in step.targets})
        scripts = [self.scripts(cluster, machine) for machine in machines]
        step.notes["machines"] = machines
        self.arm(cluster.machine, step, "\n".join(undo for _, undo in scripts))
        cluster.machine.run(" && ".join(break_it for break_it, _ in scripts))

    def observe(self, cluster: Cluster, step: Step) -> None:
        for machine in step.notes["machines"]:
            state = cluster.machine.run(f"docker inspect --format '{self.looked_at}' {machine}")
            step.saw(f"{machine} is {self.broken}", self.broken in state, f"Docker says: {state}")

    looked_at: ClassVar[str] = "{{.State.Status}}"


class NodeStopped(MachineFault):
    """The machine is switched off, and on again later."""

    name = "node-stopped"
    broken = "exited"
    ends_process = True

    def scripts(self, cluster: Cluster, machine: str) -> tuple[str, str]:
        return f"docker kill {machine}", f"docker start {machine}"


class NodePaused(MachineFault):
    """Everything on the machine stands still."""

    name = "node-paused"
    broken = "paused"

    def scripts(self, cluster: Cluster, machine: str) -> tuple[str, str]:
        return f"docker pause {machine}", f"docker unpause {machine} 2> /dev/null || true"


class NodeDisconnected(MachineFault):
    """The machine is off the network: its interface takes and sends nothing, for itself and for its Pods.

    Docker's own way would take the routes to the other machines away with the interface.
    """

    name = "node-disconnected"
    chains: ClassVar = ("INPUT -i eth0", "FORWARD -i eth0", "OUTPUT -o eth0", "FORWARD -o eth0")

    def inject(self, cluster: Cluster, step: Step) -> None:
        step.notes["machines"] = sorted({cluster.machine_of(node_id) for node_id in step.targets})
        for machine in step.notes["machines"]:
            place = kind_node(machine)
            lines = [f"iptables -w -{{}} {chain} -j DROP" for chain in self.chains]
            self.arm(place, step, "\n".join(f"{line.format('D')} || true" for line in lines), machine)
            place.run(" && ".join(line.format("I") for line in lines))

    def observe(self, cluster: Cluster, step: Step) -> None:
        for machine in step.notes["machines"]:
            packets = sum(
                chain_packets(kind_node(machine).run(f"iptables -w -L {chain} -v -x -n | grep eth0"))
                for chain in ("INPUT", "OUTPUT", "FORWARD")
            )
            step.saw(f"{machine} hears and says nothing", packets > 0, f"{packets} packets dropped")


class NodeRestarted(MachineFault):
    """The machine is started again, at once."""

    name = "node-restarted"
    broken = "running"
    ends_process = True
    seconds = 5.0

    def scripts(self, cluster: Cluster, machine: str) -> tuple[str, str]:
        return f"docker restart --time 1 {machine}", f"docker start {machine}"

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.targets)


FAULTS = (PodDeleted, ContainerKilled, NodeStopped, NodePaused, NodeDisconnected, NodeRestarted)
