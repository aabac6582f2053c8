"""The base of all faults, and the wait for a healthy cluster."""

import time
from enum import Enum
from random import Random
from typing import Any, ClassVar

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.cluster import Capability, Cluster, Unavailable
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import ClusterView

POLL_SECONDS = 0.2


class Affected(Enum):
    """Which nodes a fault prevents from serving at the same time: what the unavailability SLO depends on."""

    NONE = "none"
    ONE_AT_A_TIME = "one at a time"
    TARGETS = "the targets"
    MAJORITY = "may include a majority"


class Fault:
    """A kind of fault. A subclass sets the class variables and implements at least `inject`.

    `inject` arms a dead man's switch wherever it is going to break something, before it breaks it.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Capability, ...]] = ()
    """Capabilities of the cluster without which the fault is unavailable."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Every option that a scenario may set, with its default."""
    affected: ClassVar[Affected] = Affected.TARGETS
    target: ClassVar[str] = "follower"
    """Default selector of the targets."""
    seconds: ClassVar[float] = 3.0
    """Default of how long the fault holds."""
    injection_seconds_max: ClassVar[float] = 0.0
    """How long the injection alone may take; the dead man's switches wait for this time, too."""
    unresponsive: ClassVar[bool] = False
    """Whether targets stop answering instead of refusing connections: clients detect that only by a time-out."""
    forces_election: ClassVar[bool] = False
    """Whether a leader among a minority of targets can't remain leader if the fault holds long enough."""
    ends_process: ClassVar[bool] = False
    """Whether a leader among the targets can't remain leader in any case, since its process ends."""

    def settings(self, record: FaultRecord) -> dict[str, Any]:
        """Return the options of the record over the defaults."""
        return {**self.defaults, **{name: value for name, value in record.options.items() if name in self.defaults}}

    def unavailable(self, cluster: Cluster) -> str:
        """Return why the fault can't be injected into this cluster; empty: it can."""
        for need in self.needs:
            capability = getattr(cluster, need)
            if isinstance(capability, Unavailable):
                return capability.reason
        return ""

    def expand_targets(self, cluster: Cluster, view: ClusterView, targets: list[str], rng: Random) -> list[str]:
        """Return all nodes that the fault affects when a selector chose `targets`."""
        return targets

    def unavailability_slo_seconds(self, cluster: Cluster, targets: list[str], view: ClusterView) -> float | None:
        """Return the longest permitted time without an acknowledged write; None: no SLO.

        While a majority is unaffected, a fault must not cost more than three times the longest election time-out, plus
        the time that clients need to detect an unresponsive node.
        """
        minority = (len(view.ids) - 1) // 2
        affected = {
            Affected.NONE: 0,
            Affected.ONE_AT_A_TIME: 1,
            Affected.TARGETS: len(targets),
            Affected.MAJORITY: minority + 1,
        }
        if affected[self.affected] > minority:
            return None
        return 3 * cluster.election_timeout_seconds_max + (cluster.unresponsive_seconds if self.unresponsive else 0.0)

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        """Arm the dead man's switches, then inject the fault."""
        raise NotImplementedError

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        """Add evidence at the end of the fault's time, while it still holds."""

    def recover(self, cluster: Cluster, injection: Injection) -> None:
        """Speed up the recovery, after the revert scripts ran."""

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        """Add evidence after the cluster is healthy again."""
        record = injection.record
        minority = 2 * len(record.targets) < len(view.ids)
        long_enough = injection.seconds > 3 * cluster.election_timeout_seconds_max
        if record.leader_before in record.targets and (
            self.ends_process or (self.forces_election and minority and long_enough)
        ):
            record.add_evidence(
                "a later term, since the leader was a target",
                view.term > record.term_before,
                f"{record.leader_before} led term {record.term_before}; {view.leader} leads term {view.term}",
            )


def await_healthy(cluster: Cluster, seconds_max: float) -> tuple[ClusterView, float]:
    """Wait until the cluster is healthy and has applied every entry that was committed when its nodes agreed.

    Return the view and the seconds waited. Raise `FaultError` with the reason after `seconds_max`.
    """
    began = time.monotonic()
    commit_index = None
    while True:
        asked = time.monotonic()
        view = cluster.view()
        reason = view.unhealthy_reason(commit_index or 0)
        if not reason and commit_index is not None:
            return view, time.monotonic() - began
        if not reason:
            commit_index = view.node(view.leader).commit_index
        for node in view.nodes:
            if node.state == "waiting":  # a kubelet delays restarts of a failing container for minutes
                cluster.ensure_started(node.id)
        if time.monotonic() - began > seconds_max:
            raise FaultError(f"not healthy within {seconds_max:g} s: {reason}; {view.describe()}")
        # a slow status request must not be what keeps the machine busy
        time.sleep(max(POLL_SECONDS, time.monotonic() - asked))
