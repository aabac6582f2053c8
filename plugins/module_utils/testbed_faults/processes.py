"""Faults of processes: killed, held, restarted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ansible.module_utils.testbed_faults.fault import Fault, FaultError, Step, await_healthy

if TYPE_CHECKING:
    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.view import View

AT_ONCE_SECONDS = 2.0
"""A pause as short as this is ended by the very script that begins it, so that it is as long as asked for."""
NEXT_NODE_SECONDS_MAX = 90.0
"""How long a rolling restart waits for one node."""


def note_new_processes(step: Step, view: View, node_ids: list[str]) -> None:
    """Evidence that nodes run as other processes than before."""
    for node_id in node_ids:
        before, now = step.processes_before[node_id], view.node(node_id).process
        step.saw(f"another process of {node_id}", now not in ("", before), f"{before} before, {now or 'none'} now")


class Kill(Fault):
    """kill -9. On Kubernetes the kubelet starts the container again, locally it is started when the fault is healed."""

    name = "kill"
    ends_process = True

    def inject(self, cluster: Cluster, step: Step) -> None:
        hit = {node_id: (cluster.place_of(node_id), cluster.signal_script(node_id, "KILL")) for node_id in step.targets}
        for node_id, (place, _) in hit.items():
            self.arm(place, step, cluster.start_script(node_id), node_id)
        for place in {place.name: place for place, _ in hit.values()}.values():
            # those of one place at the same moment
            place.run(" && ".join(script for where, script in hit.values() if where == place))

    def revive(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            cluster.start_again(node_id)

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.targets)


class RestartAll(Kill):
    """All at once: what was acknowledged must come back from the disks."""

    name = "restart-all"
    target = "all"
    seconds = 1.0


class Pause(Fault):
    """SIGSTOP, and SIGCONT later: shorter than an election time-out nothing may happen; longer, another must lead."""

    name = "pause"
    target = "leader"
    silent = True
    forces_election = True

    def inject(self, cluster: Cluster, step: Step) -> None:
        at_once = step.seconds <= AT_ONCE_SECONDS
        for node_id in step.targets:
            place, pid = cluster.place_of(node_id), cluster.pid_of(node_id)
            step.notes[node_id] = pid
            self.arm(place, step, f"{cluster.signal_script(node_id, 'CONT')} || true", node_id)
        for node_id in step.targets:
            pid = step.notes[node_id]
            look = f"cut -d ')' -f 2 /proc/{pid}/stat | cut -c 2"
            stop, go_on = (cluster.signal_script(node_id, signal) for signal in ("STOP", "CONT"))
            wait = f"; sleep {step.seconds}; {look}; {go_on}" if at_once else f"; sleep 0.05; {look}"
            state = cluster.place_of(node_id).run(f"{stop}{wait}")
            step.saw(f"{node_id} stands still", state == "T", f"state {state} of process {pid}")

    def observe(self, cluster: Cluster, step: Step) -> None:
        if step.seconds > AT_ONCE_SECONDS:
            for node_id in step.targets:
                pid = step.notes[node_id]
                state = cluster.place_of(node_id).run(f"cut -d ')' -f 2 /proc/{pid}/stat | cut -c 2 || true")
                step.saw(
                    f"{node_id} still stands still at the end",
                    state == "T",
                    f"state {state or 'gone'} of process {pid}",
                )


class RollingRestart(Fault):
    """One node after the other, each when all are well again; the leader last."""

    name = "rolling-restart"
    target = "all"
    seconds = 0.0

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        """One node at a time is a minority, from three nodes on."""
        return 3 * cluster.election_seconds_max + cluster.client_silence_seconds if len(view.ids) > 2 else None

    def inject(self, cluster: Cluster, step: Step) -> None:
        order = sorted(step.targets, key=lambda node_id: (node_id == step.leader_before, node_id))
        for node_id in order:
            place = cluster.place_of(node_id)
            self.arm(place, step, cluster.start_script(node_id), node_id)
            place.run(f"kill -TERM {cluster.pid_of(node_id)}")
            self._await_end(cluster, node_id, step)
            cluster.start_again(node_id)
            await_healthy(cluster, NEXT_NODE_SECONDS_MAX)
            self.disarm(place, step, node_id)
        step.notes["order"] = order

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.notes["order"])

    @staticmethod
    def _await_end(cluster: Cluster, node_id: str, step: Step) -> None:
        deadline = time.monotonic() + NEXT_NODE_SECONDS_MAX
        while cluster.view().node(node_id).process == step.processes_before[node_id]:
            if time.monotonic() > deadline:
                raise FaultError(f"{node_id} does not end within {NEXT_NODE_SECONDS_MAX:g} s of SIGTERM")
            time.sleep(0.1)


FAULTS = (Kill, RestartAll, Pause, RollingRestart)
