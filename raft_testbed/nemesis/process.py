"""Faults of processes: kill, pause, restart, clock jump."""

import time

from raft_testbed.nemesis.cluster import Cluster, require
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.fault import Affected, Fault, await_healthy
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import ClusterView

SHORT_PAUSE_SECONDS = 2.0
"""A pause up to this long is one script that stops and continues, so that its length is exact."""
NEXT_NODE_SECONDS_MAX = 90.0
"""How long a rolling restart waits for one node."""


def verify_new_processes(injection: Injection, view: ClusterView, node_ids: list[str]) -> None:
    """Add evidence that each node runs as another process than before."""
    for node_id in node_ids:
        before, now = injection.processes_before[node_id], view.node(node_id).process
        injection.record.add_evidence(
            f"{node_id} runs as another process", now not in ("", before), f"{before} before, {now or 'none'} now"
        )


class Kill(Fault):
    """Send SIGKILL. On Kubernetes the kubelet restarts the container; locally the node starts when it is healed."""

    name = "kill"
    needs = ("signals",)
    ends_process = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        signals = require(cluster.signals)
        kills = {node_id: (cluster.host_of(node_id), signals.script(node_id, "KILL")) for node_id in injection.targets}
        for node_id, (host, _) in kills.items():
            injection.arm(host, cluster.start_script(node_id), node_id)
        for host in {host.name: host for host, _ in kills.values()}.values():
            # one script per host, so that its nodes end at the same moment
            host.run(" && ".join(script for other, script in kills.values() if other == host))

    def recover(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            cluster.ensure_started(node_id)

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.targets)


class RestartAll(Kill):
    """Kill all nodes at once: acknowledged writes must be recovered from the disks."""

    name = "restart-all"
    target = "all"
    seconds = 1.0


class Pause(Fault):
    """Send SIGSTOP, and SIGCONT later.

    A pause shorter than the election time-out must have no effect; after a longer one another node must lead.
    """

    name = "pause"
    needs = ("signals",)
    target = "leader"
    unresponsive = True
    forces_election = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        signals = require(cluster.signals)
        short = injection.seconds <= SHORT_PAUSE_SECONDS
        for node_id in injection.targets:
            injection.memory[node_id] = signals.pid(node_id)
            injection.arm(cluster.host_of(node_id), f"{signals.script(node_id, 'CONT')} || true", node_id)
        for node_id in injection.targets:
            pid = injection.memory[node_id]
            read_state = f"cut -d ')' -f 2 /proc/{pid}/stat | cut -c 2"
            stop, resume = signals.script(node_id, "STOP"), signals.script(node_id, "CONT")
            wait = f"; sleep {injection.seconds}; {read_state}; {resume}" if short else f"; sleep 0.05; {read_state}"
            state = cluster.host_of(node_id).run(f"{stop}{wait}")
            injection.record.add_evidence(f"{node_id} is stopped", state == "T", f"state {state} of process {pid}")

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        if injection.seconds > SHORT_PAUSE_SECONDS:
            for node_id in injection.targets:
                pid = injection.memory[node_id]
                state = cluster.host_of(node_id).run(f"cut -d ')' -f 2 /proc/{pid}/stat | cut -c 2 || true")
                injection.record.add_evidence(
                    f"{node_id} is still stopped at the end",
                    state == "T",
                    f"state {state or 'none'} of process {pid}",
                )


class RollingRestart(Fault):
    """Restart one node after the other, each when the cluster is healthy again; the leader last."""

    name = "rolling-restart"
    needs = ("signals",)
    affected = Affected.ONE_AT_A_TIME
    target = "all"
    seconds = 0.0
    unresponsive = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        leader = injection.record.leader_before
        order = sorted(injection.targets, key=lambda node_id: (node_id == leader, node_id))
        for node_id in order:
            host = cluster.host_of(node_id)
            injection.arm(host, cluster.start_script(node_id), node_id)
            host.run(f"kill -TERM {require(cluster.signals).pid(node_id)}")
            self._await_end(cluster, node_id, injection)
            cluster.ensure_started(node_id)
            await_healthy(cluster, NEXT_NODE_SECONDS_MAX)
            injection.disarm(host, node_id)
        injection.memory["order"] = order

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.memory["order"])

    @staticmethod
    def _await_end(cluster: Cluster, node_id: str, injection: Injection) -> None:
        deadline = time.monotonic() + NEXT_NODE_SECONDS_MAX
        while cluster.view().node(node_id).process == injection.processes_before[node_id]:
            if time.monotonic() > deadline:
                raise FaultError(f"{node_id} does not end within {NEXT_NODE_SECONDS_MAX:g} s of SIGTERM")
            time.sleep(0.1)


class ClockJump(Fault):
    """Set a node's wall clock."""

    name = "clock-jump"

    def unavailable(self, cluster: Cluster) -> str:
        return "all nodes share this machine's wall clock, for which Linux has no namespace"


FAULTS = (Kill, RestartAll, Pause, RollingRestart, ClockJump)
