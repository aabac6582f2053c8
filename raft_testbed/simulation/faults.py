"""Faults: what goes wrong in a run, and how it ends.

A fault is a function that takes the cluster and an rng, injects the fault, and returns the function that ends it. To
add one, add a function to `FAULTS`. Operations such as transfers of leadership are scheduled in the same way.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Protocol

from raft_pkg.core.membership import AddLearner, Change, Promote, Remove
from raft_testbed.simulation.disk import Moment
from raft_testbed.simulation.machine import Machine, Termination, address_of
from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.parameters import NetworkParameters, Parameters

Revert = Callable[[], None]


class FaultTarget(Protocol):
    """The part of a simulated cluster that faults use."""

    machines: Sequence[Machine]
    clients: Sequence[str]
    network: SimulatedNetwork
    parameters: Parameters

    @property
    def leader(self) -> Machine | None:
        """The machine whose node leads in the newest term."""
        ...

    def request_change(self, machine: Machine, change: Change) -> None:
        """Request a membership change from a node."""
        ...

    def may_lose_disk(self, machine: Machine) -> bool:
        """Return whether the cluster keeps a majority of disks without this machine's."""
        ...

    def all_disks_are_known(self) -> bool:
        """Return whether every member still has its disk."""
        ...

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay` seconds, unless the phase with faults is over by then."""
        ...


Fault = Callable[[FaultTarget, Random], Revert]

# --- targets --------------------------------------------------------------------------------------------------------


def _target(cluster: FaultTarget, rng: Random) -> Machine:
    """Choose a leader with a probability of one half, if there is one, else any machine."""
    leaders = [machine for machine in cluster.machines if machine.is_leader]
    return rng.choice(leaders) if leaders and rng.random() < 0.5 else rng.choice(cluster.machines)


def _some(cluster: FaultTarget, rng: Random) -> list[str]:
    """Choose a minority or a majority."""
    ids = [machine.id for machine in cluster.machines]
    rng.shuffle(ids)
    return ids[: rng.randint(1, max(1, len(ids) - 1))]


def _as_soon_as(
    cluster: FaultTarget, condition: Callable[[], bool], action: Callable[[], None], tries: int = 200
) -> None:
    """Run `action` once when `condition` holds, if that is within two seconds."""
    if condition():
        action()
    elif tries:
        cluster.after(0.01, partial(_as_soon_as, cluster, condition, action, tries - 1))


# --- processes ------------------------------------------------------------------------------------------------------


def _end_process(termination: Termination) -> Fault:
    def inject(cluster: FaultTarget, rng: Random) -> Revert:
        machine = _target(cluster, rng)
        machine.end(termination)
        return machine.start

    return inject


def _crash_in_system_call(cluster: FaultTarget, rng: Random) -> Revert:
    """Crash a machine within one of its next system calls, which tears writes."""
    machine = _target(cluster, rng)
    machine.disk.crash_after(rng.randint(0, 6))

    def start_and_crash() -> None:
        machine.start()
        cluster.after(rng.expovariate(100), lambda: machine.end(Termination.POWER_LOST))

    if rng.random() < 0.5:  # crash again soon after the restart, before the node has anything to sync
        _as_soon_as(cluster, lambda: machine.node is None, start_and_crash)

    def revert() -> None:
        machine.disk.crash_after(None)
        machine.start()

    return revert


def _crash_in_snapshot(cluster: FaultTarget, rng: Random) -> Revert:
    """Crash machines within a system call that writes, commits or installs a snapshot, or compacts the log."""
    for machine in cluster.machines:
        machine.disk.crash_after(rng.randint(0, 15), rng.choice(list(Moment)))

    def revert() -> None:
        for machine in cluster.machines:
            machine.disk.crash_after(None)
            machine.start()

    return revert


def _crash_all(cluster: FaultTarget, rng: Random) -> Revert:
    """Let all machines lose power at nearly the same time."""
    for machine in cluster.machines:
        cluster.after(rng.uniform(0, 0.002), partial(machine.end, Termination.POWER_LOST))

    def revert() -> None:
        for machine in cluster.machines:
            cluster.after(rng.uniform(0, 0.1), machine.start)

    return revert


def _restart_repeatedly(cluster: FaultTarget, rng: Random) -> Revert:
    machine = _target(cluster, rng)
    for number in range(rng.randint(2, 4)):
        cluster.after(0.05 * number, lambda: machine.end(Termination.POWER_LOST))
        cluster.after(0.05 * number + rng.uniform(0, 0.04), machine.start)
    return machine.start


def _pause(cluster: FaultTarget, rng: Random) -> Revert:
    machine = _target(cluster, rng)
    machine.pause()
    return machine.resume


def _skew_clock(cluster: FaultTarget, rng: Random) -> Revert:
    """Change the rate of a clock; with leases, within `clock_drift_max`."""
    machine = _target(cluster, rng)
    half = cluster.parameters.raft.clock_drift_max / 2
    rates = (1 - half, 1 + half) if cluster.parameters.raft.lease_reads else (0.5, 0.8, 0.9, 1.1, 1.25, 2.0)
    machine.skew_clock(rng.choice(rates))
    return lambda: machine.skew_clock(1.0)


# --- disks ----------------------------------------------------------------------------------------------------------


def _disk_error(number: int) -> Fault:
    def inject(cluster: FaultTarget, rng: Random) -> Revert:
        machine = _target(cluster, rng)
        machine.disk.fail_after(rng.randint(0, 5), number)

        def revert() -> None:
            machine.disk.heal()
            machine.start()

        return revert

    return inject


def _slow_disk(cluster: FaultTarget, rng: Random) -> Revert:
    machine = _target(cluster, rng)
    usual, machine.sync_seconds_max = machine.sync_seconds_max, rng.uniform(0.05, 0.5)

    def revert() -> None:
        machine.sync_seconds_max = usual

    return revert


def _flip_bit(cluster: FaultTarget, rng: Random) -> Revert:
    """Flip a bit of the synced data while the node is down; it flips back when the node refuses to start."""
    machine = _target(cluster, rng)
    machine.end(Termination.KILLED)
    if machine.node is None and machine.repair_disk is None:
        machine.repair_disk = machine.disk.flip_bit(rng)
    return machine.start


def _lose_disk(cluster: FaultTarget, rng: Random) -> Revert:
    """Replace a disk by an empty one, if the cluster keeps a majority of disks in every possible configuration.

    With a probability of one half, the last messages of the previous incarnation arrive after the restart.
    """
    machine = _target(cluster, rng)

    def lose() -> None:
        cluster.network.late.discard(machine.id)
        if cluster.may_lose_disk(machine):
            machine.lose_disk()
            cluster.after(rng.uniform(0, 0.3), machine.start)

    if rng.random() < 0.5:
        cluster.network.late.add(machine.id)
        cluster.after(rng.uniform(0, 0.1), lose)
    else:
        lose()

    def revert() -> None:
        cluster.network.late.discard(machine.id)
        machine.start()

    return revert


# --- network --------------------------------------------------------------------------------------------------------


def _cut(cluster: FaultTarget, links: set[tuple[str, str]]) -> Revert:
    added = links - cluster.network.cut
    cluster.network.cut |= added
    return lambda: cluster.network.cut.difference_update(added)


def _between(some: Sequence[str], others: Sequence[str]) -> set[tuple[str, str]]:
    return {(a, b) for a in some for b in others if a != b}


def _isolate(cluster: FaultTarget, rng: Random) -> Revert:
    """Cut all links of one node; with a probability of one half, also those to clients."""
    target = _target(cluster, rng).id
    others = [machine.id for machine in cluster.machines]
    if rng.random() < 0.5:
        others += cluster.clients
    return _cut(cluster, _between([target], others) | _between(others, [target]))


def _partition(cluster: FaultTarget, rng: Random) -> Revert:
    """Partition the nodes in two; clients reach both sides."""
    some = _some(cluster, rng)
    others = [machine.id for machine in cluster.machines if machine.id not in some]
    return _cut(cluster, _between(some, others) | _between(others, some))


def _cut_one_direction(cluster: FaultTarget, rng: Random) -> Revert:
    """Cut all links of one node in one direction."""
    target = _target(cluster, rng).id
    others = [machine.id for machine in cluster.machines]
    return _cut(cluster, _between([target], others) if rng.random() < 0.5 else _between(others, [target]))


def _ring(cluster: FaultTarget, rng: Random) -> Revert:
    """Cut all links but those of a ring: of five nodes, each reaches a majority, and no two the same one."""
    ids = [machine.id for machine in cluster.machines]
    rng.shuffle(ids)
    neighbours = _between(ids, ids)
    for position, node in enumerate(ids):
        following = ids[(position + 1) % len(ids)]
        neighbours -= {(node, following), (following, node)}
    return _cut(cluster, neighbours)


def _cut_some_links(cluster: FaultTarget, rng: Random) -> Revert:
    """Cut a random subset of the directed links."""
    ids = [machine.id for machine in cluster.machines]
    share = rng.random()
    return _cut(cluster, {link for link in sorted(_between(ids, ids)) if rng.random() < share})


def _change_network(change: Callable[[NetworkParameters], NetworkParameters]) -> Fault:
    def inject(cluster: FaultTarget, _rng: Random) -> Revert:
        usual = cluster.network.parameters
        cluster.network.parameters = change(usual)

        def revert() -> None:
            cluster.network.parameters = usual

        return revert

    return inject


# --- operations -----------------------------------------------------------------------------------------------------


def _transfer(cluster: FaultTarget, rng: Random) -> Revert:
    """Request a transfer of leadership from all nodes, now and at the end of the fault."""
    target = rng.choice(cluster.machines).id
    for machine in cluster.machines:
        machine.transfer(target)

    def revert() -> None:
        for machine in cluster.machines:
            machine.transfer(target)

    return revert


def _change_members(cluster: FaultTarget, rng: Random) -> Revert:
    """Request several membership changes from the leader, a few of them from another node."""

    def request() -> None:
        machine = cluster.leader
        if machine is None or machine.node is None or machine.has_admin_requests:
            return
        change = _some_change(cluster, machine, rng)
        if change is not None:
            recipient = rng.choice(cluster.machines) if rng.random() < 0.1 else machine
            cluster.request_change(recipient, change)

    for number in range(rng.randint(1, 6)):
        cluster.after(rng.uniform(0.05, 0.2) * number, request)
    return lambda: None


def _some_change(cluster: FaultTarget, leader: Machine, rng: Random) -> Change | None:
    """Choose a membership change, rarely an invalid one. No member is removed while the disk of another is lost."""
    assert leader.node is not None
    configuration = leader.node.raft.configuration
    inside = [member.node_id for member in configuration.members]
    changes: list[Change] = [*(Promote(member.node_id) for member in configuration.learners)] * 2
    outside = [machine.id for machine in cluster.machines if machine.id not in inside]
    changes += [AddLearner(node_id, address_of(node_id), promote=rng.random() < 0.6) for node_id in outside]
    if cluster.all_disks_are_known() and (len(configuration.voters) > 2 or rng.random() < 0.3):
        changes += [Remove(rng.choice(inside)), Remove(leader.id)]
    if rng.random() < 0.05:
        changes = [Promote("non-member"), Remove("non-member"), AddLearner(leader.id, address_of(leader.id))]
    return rng.choice(changes) if changes else None


def _interrupt_snapshot(cluster: FaultTarget, rng: Random) -> Revert:
    """Disturb sender or receiver as soon as a snapshot is partly transferred."""
    reverts: list[Revert] = []
    interruptions = _cut_between, _end_receiver, _end_sender, _pause_sender

    def interrupt() -> None:
        pair = _transfer_under_way(cluster)
        assert pair is not None
        if rng.random() < 0.3:
            reverts.append(_crash_in_installation(*pair, rng))
        else:
            reverts.append(rng.choice(interruptions)(cluster, *pair))

    _as_soon_as(cluster, lambda: _transfer_under_way(cluster) is not None, interrupt)

    def revert() -> None:
        for revert_one in reverts:
            revert_one()

    return revert


def _transfer_under_way(cluster: FaultTarget) -> tuple[Machine, Machine] | None:
    """Return sender and receiver of a partly transferred snapshot."""
    machines = {machine.id: machine for machine in cluster.machines}
    for sender in cluster.machines:
        if sender.node is not None:
            for node_id, progress in sender.node.raft.progress.items():
                if progress.snapshot is not None and 0 < progress.snapshot_offset < progress.snapshot.size:
                    return sender, machines[node_id]
    return None


def _cut_between(cluster: FaultTarget, sender: Machine, receiver: Machine) -> Revert:
    return _cut(cluster, {(sender.id, receiver.id), (receiver.id, sender.id)})


def _end_receiver(_cluster: FaultTarget, _sender: Machine, receiver: Machine) -> Revert:
    receiver.end(Termination.POWER_LOST)
    return receiver.start


def _crash_in_installation(_sender: Machine, receiver: Machine, rng: Random) -> Revert:
    """Crash the receiver between the commit of the snapshot and the reset of its log."""
    receiver.disk.crash_after(rng.randint(1, 5), Moment.SNAPSHOT_NAMED)
    return receiver.start


def _end_sender(_cluster: FaultTarget, sender: Machine, _receiver: Machine) -> Revert:
    sender.end(Termination.POWER_LOST)
    return sender.start


def _pause_sender(_cluster: FaultTarget, sender: Machine, _receiver: Machine) -> Revert:
    sender.pause()
    return sender.resume


def _report_unreachable(cluster: FaultTarget, rng: Random) -> Revert:
    """Report a running node as unreachable to all others, and the others to it."""
    target = _target(cluster, rng).id
    ids = [machine.id for machine in cluster.machines]

    def report() -> None:
        for machine in cluster.machines:
            if machine.node is not None:
                cluster.network.report_unreachable(machine.id, ids if machine.id == target else [target], machine.now)

    for _ in range(rng.randint(1, 5)):
        cluster.after(rng.uniform(0, 0.5), report)
    return lambda: None


MEMBERSHIP_CHANGES = "change members"
FAULTS: dict[str, Fault] = {
    MEMBERSHIP_CHANGES: _change_members,
    "cut links in one direction": _cut_one_direction,
    "cut some links": _cut_some_links,
    "delay messages": _change_network(lambda usual: replace(usual, delay_mean=0.05, straggling=0.2)),
    "disk error": _disk_error(errno.EIO),
    "disk full": _disk_error(errno.ENOSPC),
    "crash in a system call": _crash_in_system_call,
    "crash in a snapshot": _crash_in_snapshot,
    "flip a bit": _flip_bit,
    "interrupt a snapshot": _interrupt_snapshot,
    "isolate": _isolate,
    "kill": _end_process(Termination.KILLED),
    "lose a disk": _lose_disk,
    "lose messages": _change_network(lambda usual: replace(usual, loss=0.5)),
    "lose power": _end_process(Termination.POWER_LOST),
    "lose power everywhere": _crash_all,
    "pause": _pause,
    "duplicate messages": _change_network(lambda usual: replace(usual, duplication=0.5)),
    "restart repeatedly": _restart_repeatedly,
    "ring": _ring,
    "report nodes as unreachable": _report_unreachable,
    "skew a clock": _skew_clock,
    "slow disk": _slow_disk,
    "partition": _partition,
    "stop": _end_process(Termination.STOPPED),
    "transfer": _transfer,
}
"""Every fault by name. Schedules draw from this order, so a change of it changes what all seeds do."""
