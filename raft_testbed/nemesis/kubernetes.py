"""Faults of Pods, of containers, and of the Kubernetes nodes that run them (called machines)."""

from random import Random
from typing import ClassVar

from raft_testbed.nemesis.cluster import Cluster, MachineAction, require
from raft_testbed.nemesis.fault import Fault
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.iptables import chain_packets
from raft_testbed.nemesis.process import verify_new_processes
from raft_testbed.nemesis.view import ClusterView


class PodDeleted(Fault):
    """Delete the Pod; the StatefulSet creates another one with another address."""

    name = "pod-deleted"
    needs = ("pods",)
    target = "leader"
    unresponsive = True
    ends_process = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        require(cluster.pods).delete(injection.targets)

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.targets)


class ContainerKilled(Fault):
    """Kill the container by way of its container runtime, unknown to Kubernetes."""

    name = "container-killed"
    needs = ("containers",)
    ends_process = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            require(cluster.containers).kill(node_id)

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.targets)


class MachineFault(Fault):
    """A fault of the machines that run the targets, and so of all nodes there."""

    needs = ("machines",)
    seconds = 15.0
    unresponsive = True
    forces_election = True
    break_action: ClassVar[MachineAction]
    repair_action: ClassVar[MachineAction] = "start"
    state: ClassVar[str]
    """The container engine's state of a machine while the fault holds."""

    def unavailable(self, cluster: Cluster) -> str:
        return super().unavailable(cluster) or require(cluster.machines).unavailable()

    def expand_targets(self, cluster: Cluster, view: ClusterView, targets: list[str], rng: Random) -> list[str]:
        machine_of = require(cluster.machines).machine_of
        machines = {machine_of(node_id) for node_id in targets}
        return [node_id for node_id in view.ids if machine_of(node_id) in machines]

    def choose_machines(self, cluster: Cluster, injection: Injection) -> list[str]:
        """Return the targets' machines, and keep them for `observe`."""
        machines = sorted({require(cluster.machines).machine_of(node_id) for node_id in injection.targets})
        injection.memory["machines"] = machines
        return machines

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        script = require(cluster.machines).script
        machines = self.choose_machines(cluster, injection)
        injection.arm(cluster.control_host, "\n".join(script(machine, self.repair_action) for machine in machines))
        cluster.control_host.run(" && ".join(script(machine, self.break_action) for machine in machines))

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        for machine in injection.memory["machines"]:
            state = require(cluster.machines).state(machine)
            injection.record.add_evidence(
                f"{machine} is {self.state}", state == self.state, f"state of its container: {state}"
            )


class NodeStopped(MachineFault):
    """Switch the machine off, and on again later."""

    name = "node-stopped"
    break_action = "kill"
    state = "exited"
    ends_process = True


class NodePaused(MachineFault):
    """Suspend every process of the machine."""

    name = "node-paused"
    break_action = "pause"
    repair_action = "unpause"
    state = "paused"


class NodeDisconnected(MachineFault):
    """Disconnect the machine and its Pods: its interface drops all traffic.

    Disconnecting the container from its network would also remove the routes to the other machines.
    """

    name = "node-disconnected"
    chains: ClassVar = ("INPUT -i eth0", "FORWARD -i eth0", "OUTPUT -o eth0", "FORWARD -o eth0")

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        for machine in self.choose_machines(cluster, injection):
            host = require(cluster.machines).host(machine)
            lines = [f"iptables -w -{{}} {chain} -j DROP" for chain in self.chains]
            injection.arm(host, "\n".join(f"{line.format('D')} || true" for line in lines), machine)
            host.run(" && ".join(line.format("I") for line in lines))

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        for machine in injection.memory["machines"]:
            host = require(cluster.machines).host(machine)
            packets = sum(
                chain_packets(host.run(f"iptables -w -L {chain} -v -x -n | grep eth0"))
                for chain in ("INPUT", "OUTPUT", "FORWARD")
            )
            injection.record.add_evidence(f"{machine} is disconnected", packets > 0, f"{packets} packets dropped")


class NodeRestarted(MachineFault):
    """Restart the machine at once."""

    name = "node-restarted"
    break_action = "restart"
    state = "running"
    ends_process = True
    seconds = 5.0

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.targets)


FAULTS = (PodDeleted, ContainerKilled, NodeStopped, NodePaused, NodeDisconnected, NodeRestarted)
