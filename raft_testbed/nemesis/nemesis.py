"""The phases of a fault: availability, injection, healing; and the clean-up after an interrupted run."""

import time
from random import Random

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.catalogue import find_fault
from raft_testbed.nemesis.cluster import Cluster
from raft_testbed.nemesis.errors import CommandError, FaultError
from raft_testbed.nemesis.fault import await_healthy
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import choose_targets


def unavailable(cluster: Cluster, fault: str) -> str:
    """Return why a fault can't be injected; empty: it can. Raise `ValueError` if the fault is unknown."""
    return find_fault(fault).unavailable(cluster)


def clean_up(cluster: Cluster) -> list[str]:
    """Revert every fault that any run injected and did not heal. Return `HOST SWITCH RESULT` of each switch."""
    found = [(host, name) for host in cluster.hosts() for name in host.armed()]
    return [f"{host.name} {name} {host.revert(name)}" for host, name in found]


def inject(cluster: Cluster, record: FaultRecord, *, expiry_seconds: float, healthy_seconds_max: float) -> Injection:
    """Wait for a healthy cluster, choose the targets, inject the fault and hold it for its time.

    The injection completes `record`. An injection that fails is evidence against the fault, not an error: the run
    continues. After `expiry_seconds` the dead man's switches revert the fault. Raise `FaultError` if the cluster is
    not healthy within `healthy_seconds_max`, `TargetError` if the selector chooses no node.
    """
    fault = find_fault(record.fault)
    view, _ = await_healthy(cluster, healthy_seconds_max)
    rng = Random(record.seed)
    targets = choose_targets(record.target or fault.target, view, rng)
    record.targets = fault.expand_targets(cluster, view, targets, rng)
    record.seconds = fault.seconds if record.seconds is None else record.seconds
    record.leader_before, record.term_before = view.leader, view.term
    record.unavailability_slo_seconds = fault.unavailability_slo_seconds(cluster, record.targets, view)
    injection = Injection(
        id=f"{fault.name}-{time.time_ns()}",
        record=record,
        expiry_seconds=expiry_seconds + record.seconds + fault.injection_seconds_max,
        processes_before={node.id: node.process for node in view.nodes},
    )
    record.injected_at = time.time()
    try:
        fault.inject(cluster, injection)
        time.sleep(record.seconds)
        fault.observe(cluster, injection)
    except (FaultError, CommandError) as error:
        injection.failed = str(error)
        record.add_evidence(f"{fault.name} of {', '.join(record.targets)} can be injected", False, str(error))
    return injection


def heal(cluster: Cluster, injection: Injection, *, healthy_seconds_max: float) -> FaultRecord:
    """Revert a fault, wait for a healthy cluster, and return the completed record.

    Raise `CommandError` if a revert script fails, `FaultError` if the cluster is not healthy within
    `healthy_seconds_max`.
    """
    record, fault = injection.record, find_fault(injection.record.fault)
    reverted = _revert(cluster, injection)
    fault.recover(cluster, injection)
    record.healed_at = time.time()
    view, _ = await_healthy(cluster, healthy_seconds_max)
    record.recovered_at = time.time()
    record.leader_after, record.term_after = view.leader, view.term
    if not injection.failed:
        fault.verify(cluster, injection, view)
    if any(name.endswith(" expired") for name in reverted):
        record.add_evidence(
            "the run itself ends the fault", False, f"dead man's switches had reverted it: {', '.join(reverted)}"
        )
    return record


def _revert(cluster: Cluster, injection: Injection) -> list[str]:
    """Revert an injection wherever it is armed. Return `SWITCH RESULT` of each switch."""
    armed = [(host, name) for host in cluster.hosts() for name in host.armed()]
    return [f"{name} {host.revert(name)}" for host, name in armed if name.startswith(f"{injection.id}.")]
