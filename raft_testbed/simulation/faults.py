"""What goes wrong: each fault has a name, begins, and is over after a while. A plan of them is drawn from the seed.

A fault is a function from the world and a source of rng to the function that ends it. Adding one is adding a
function to `FAULTS`. Operations that are no faults, such as a transfer of leadership, are planned in the same way.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Protocol

from raft_pkg.core.membership import AddLearner, Change, Promote, Remove
from raft_testbed.simulation.disk import Moment
from raft_testbed.simulation.machine import Ending, Host, address_of
from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.schedule import Conditions, Network

End = Callable[[], None]


class Faultable(Protocol):
    """What of the world faults can reach."""

    hosts: Sequence[Host]
    clients: Sequence[str]
    network: SimulatedNetwork
    conditions: Conditions

    @property
    def leader(self) -> Host | None:
        """The machine whose node leads."""
        ...

    def ask(self, host: Host, change: Change) -> None:
        """Ask a node for a change of the members."""
        ...

    def may_lose_disk(self, host: Host) -> bool:
        """Whether the cluster can go on without what this machine's disk has promised."""
        ...

    def all_disks_are_known(self) -> bool:
        """Whether every member still has the disk that it had."""
        ...

    def schedule(self, delay: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        ...


Fault = Callable[[Faultable, Random], End]


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault that is to happen. Times in seconds; what it draws comes from its own seed."""

    number: int
    name: str
    begins: float
    lasts: float
    seed: str

    def __str__(self) -> str:
        return f"#{self.number} {self.name} from {self.begins:.3f} for {self.lasts:.3f} s"


def plan(seed: int, conditions: Conditions) -> list[PlannedFault]:
    """The faults of a seed, in the order in which they begin."""
    rng = Random(f"{seed} faults")
    names = rng.sample(sorted(FAULTS), rng.randint(3, len(FAULTS)))
    if rng.random() < 0.5:
        names += ["change members"] * (1 + len(names) // 4)
    begins = sorted(rng.uniform(0.2, conditions.faulty_seconds) for _ in range(conditions.faults))
    return [
        PlannedFault(number, rng.choice(names), time, min(rng.expovariate(3.0), 2.0), f"{seed} fault {number}")
        for number, time in enumerate(begins)
    ]


# --- whom ---------------------------------------------------------------------------------------------------------


def _victim(world: Faultable, rng: Random) -> Host:
    """Half of the time the leader, if there is one."""
    leaders = [host for host in world.hosts if host.is_leader]
    return rng.choice(leaders) if leaders and rng.random() < 0.5 else rng.choice(world.hosts)


def _some(world: Faultable, rng: Random) -> list[str]:
    """A minority or a majority, in any order."""
    ids = [host.id for host in world.hosts]
    rng.shuffle(ids)
    return ids[: rng.randint(1, max(1, len(ids) - 1))]


def _as_soon_as(world: Faultable, condition: Callable[[], bool], action: Callable[[], None], tries: int = 200) -> None:
    """Do something once when a condition holds, if that is within some seconds."""
    if condition():
        action()
    elif tries:
        world.schedule(0.01, partial(_as_soon_as, world, condition, action, tries - 1))


# --- nodes --------------------------------------------------------------------------------------------------------


def _end_one(ending: Ending) -> Fault:
    def inject(world: Faultable, rng: Random) -> End:
        host = _victim(world, rng)
        host.end(ending)
        return host.start

    return inject


def _crash_in_a_call(world: Faultable, rng: Random) -> End:
    """The process or the power ends in the middle of one of the next calls of the system: writes are torn."""
    host = _victim(world, rng)
    host.filesystem.crash_after(rng.randint(0, 6))

    def end_again() -> None:
        host.start()
        world.schedule(rng.expovariate(100), lambda: host.end(Ending.POWER_LOST))

    if rng.random() < 0.5:  # and again soon after it has started, before it has anything to sync
        _as_soon_as(world, lambda: host.node is None, end_again)

    def end() -> None:
        host.filesystem.crash_after(None)
        host.start()

    return end


def _crash_in_a_snapshot(world: Faultable, rng: Random) -> End:
    """The power ends in the middle of one of the calls that write, commit or install a snapshot, or compact the log."""
    for host in world.hosts:
        host.filesystem.crash_after(rng.randint(0, 15), rng.choice(list(Moment)))

    def end() -> None:
        for host in world.hosts:
            host.filesystem.crash_after(None)
            host.start()

    return end


def _crash_all(world: Faultable, rng: Random) -> End:
    """Power is lost everywhere at nearly the same moment."""
    for host in world.hosts:
        world.schedule(rng.uniform(0, 0.002), lambda host=host: host.end(Ending.POWER_LOST))  # type: ignore[misc]

    def end() -> None:
        for host in world.hosts:
            world.schedule(rng.uniform(0, 0.1), host.start)

    return end


def _restart_again_and_again(world: Faultable, rng: Random) -> End:
    host = _victim(world, rng)
    for number in range(rng.randint(2, 4)):
        world.schedule(0.05 * number, lambda: host.end(Ending.POWER_LOST))
        world.schedule(0.05 * number + rng.uniform(0, 0.04), host.start)
    return host.start


def _pause(world: Faultable, rng: Random) -> End:
    host = _victim(world, rng)
    host.pause()
    return host.resume


def _skew_clock(world: Faultable, rng: Random) -> End:
    """Any clock may go wrong; with leases, clocks differ by what is allowed for at the most."""
    host = _victim(world, rng)
    half = world.conditions.raft.clock_drift_max / 2
    rates = (1 - half, 1 + half) if world.conditions.raft.lease_reads else (0.5, 0.8, 0.9, 1.1, 1.25, 2.0)
    host.skew_clock(rng.choice(rates))
    return lambda: host.skew_clock(1.0)


# --- disks --------------------------------------------------------------------------------------------------------


def _disk_error(number: int) -> Fault:
    def inject(world: Faultable, rng: Random) -> End:
        host = _victim(world, rng)
        host.filesystem.fail_after(rng.randint(0, 5), number)

        def end() -> None:
            host.filesystem.heal()
            host.start()

        return end

    return inject


def _slow_disk(world: Faultable, rng: Random) -> End:
    host = _victim(world, rng)
    usual, host.sync_seconds_max = host.sync_seconds_max, rng.uniform(0.05, 0.5)

    def end() -> None:
        host.sync_seconds_max = usual

    return end


def _flip_bit(world: Faultable, rng: Random) -> End:
    """A bit changes in what was synced, while the node is down; who restores the disk later gives it back."""
    host = _victim(world, rng)
    host.end(Ending.KILLED)
    if host.node is None and host.damaged is None:
        host.damaged = host.filesystem.flip_bit(rng)
    return host.start


def _lose_disk(world: Faultable, rng: Random) -> End:
    """A machine comes back with an empty disk, if the others can do without what was on it.

    Half of the time, what it said last before is still under way when it comes back.
    """
    host = _victim(world, rng)

    def lose() -> None:
        world.network.late.discard(host.id)
        if world.may_lose_disk(host):
            host.lose_disk()
            world.schedule(rng.uniform(0, 0.3), host.start)

    if rng.random() < 0.5:
        world.network.late.add(host.id)
        world.schedule(rng.uniform(0, 0.1), lose)
    else:
        lose()

    def end() -> None:
        world.network.late.discard(host.id)
        host.start()

    return end


# --- the network --------------------------------------------------------------------------------------------------


def _cut(world: Faultable, links: set[tuple[str, str]]) -> End:
    added = links - world.network.cut
    world.network.cut |= added
    return lambda: world.network.cut.difference_update(added)


def _between(some: Sequence[str], others: Sequence[str]) -> set[tuple[str, str]]:
    return {(a, b) for a in some for b in others if a != b}


def _isolate(world: Faultable, rng: Random) -> End:
    """One node hears nobody and is heard by nobody, but by its clients half of the time."""
    victim = _victim(world, rng).id
    others = [host.id for host in world.hosts]
    if rng.random() < 0.5:
        others += world.clients
    return _cut(world, _between([victim], others) | _between(others, [victim]))


def _split(world: Faultable, rng: Random) -> End:
    """Two parts that don't hear each other; clients reach both."""
    some = _some(world, rng)
    others = [host.id for host in world.hosts if host.id not in some]
    return _cut(world, _between(some, others) | _between(others, some))


def _one_way(world: Faultable, rng: Random) -> End:
    """A node that is heard and hears nobody, or the other way round."""
    victim = _victim(world, rng).id
    others = [host.id for host in world.hosts]
    return _cut(world, _between([victim], others) if rng.random() < 0.5 else _between(others, [victim]))


def _ring(world: Faultable, rng: Random) -> End:
    """Each node hears its two neighbours only: of five, all see a majority and none the same."""
    ids = [host.id for host in world.hosts]
    rng.shuffle(ids)
    neighbours = _between(ids, ids)
    for position, node in enumerate(ids):
        following = ids[(position + 1) % len(ids)]
        neighbours -= {(node, following), (following, node)}
    return _cut(world, neighbours)


def _cut_some_links(world: Faultable, rng: Random) -> End:
    """Any choice of links, each in one direction."""
    ids = [host.id for host in world.hosts]
    share = rng.random()
    return _cut(world, {link for link in sorted(_between(ids, ids)) if rng.random() < share})


def _change_network(change: Callable[[Network], Network]) -> Fault:
    def inject(world: Faultable, _rng: Random) -> End:
        usual = world.network.conditions
        world.network.conditions = change(usual)

        def end() -> None:
            world.network.conditions = usual

        return end

    return inject


# --- operations ---------------------------------------------------------------------------------------------------


def _transfer(world: Faultable, rng: Random) -> End:
    """Whoever leads is asked to hand over, now and once more."""
    target = rng.choice(world.hosts).id
    for host in world.hosts:
        host.transfer(target)

    def end() -> None:
        for host in world.hosts:
            host.transfer(target)

    return end


def _change_members(world: Faultable, rng: Random) -> End:
    """The leader is asked for one change after another; now and then it is some other node that is asked."""

    def change() -> None:
        host = world.leader
        if host is None or host.node is None or host.has_requests:
            return
        wanted = _some_change(world, host, rng)
        if wanted is not None:
            asked = rng.choice(world.hosts) if rng.random() < 0.1 else host
            world.ask(asked, wanted)

    for number in range(rng.randint(1, 6)):
        world.schedule(rng.uniform(0.05, 0.2) * number, change)
    return lambda: None


def _some_change(world: Faultable, leader: Host, rng: Random) -> Change | None:
    """Any change that makes sense, and some that do not; nobody is removed while another's disk is lost."""
    assert leader.node is not None
    configuration = leader.node.raft.configuration
    inside = [member.node_id for member in configuration.members]
    changes: list[Change] = [*(Promote(member.node_id) for member in configuration.learners)] * 2
    outside = [host.id for host in world.hosts if host.id not in inside]
    changes += [AddLearner(node_id, address_of(node_id), promote=rng.random() < 0.6) for node_id in outside]
    if world.all_disks_are_known() and (len(configuration.voters) > 2 or rng.random() < 0.3):
        changes += [Remove(rng.choice(inside)), Remove(leader.id)]
    if rng.random() < 0.05:
        changes = [Promote("nobody"), Remove("nobody"), AddLearner(leader.id, address_of(leader.id))]
    return rng.choice(changes) if changes else None


def _interrupt_snapshot(world: Faultable, rng: Random) -> End:
    """As soon as a follower is in the middle of being sent a snapshot, something happens to it or to its leader."""
    ends: list[End] = []
    interruptions = _cut_between, _end_receiver, _end_sender, _pause_sender

    def interrupt() -> None:
        pair = _transfer_under_way(world)
        assert pair is not None
        if rng.random() < 0.3:
            ends.append(_end_in_installation(*pair, rng))
        else:
            ends.append(rng.choice(interruptions)(world, *pair))

    _as_soon_as(world, lambda: _transfer_under_way(world) is not None, interrupt)

    def end() -> None:
        for undo in ends:
            undo()

    return end


def _transfer_under_way(world: Faultable) -> tuple[Host, Host] | None:
    """Who is sending a snapshot of which the other has a part."""
    hosts = {host.id: host for host in world.hosts}
    for sender in world.hosts:
        if sender.node is not None:
            for node_id, progress in sender.node.raft.progress.items():
                if progress.snapshot is not None and 0 < progress.snapshot_offset < progress.snapshot.size:
                    return sender, hosts[node_id]
    return None


def _cut_between(world: Faultable, sender: Host, receiver: Host) -> End:
    return _cut(world, {(sender.id, receiver.id), (receiver.id, sender.id)})


def _end_receiver(_world: Faultable, _sender: Host, receiver: Host) -> End:
    receiver.end(Ending.POWER_LOST)
    return receiver.start


def _end_in_installation(_sender: Host, receiver: Host, rng: Random) -> End:
    """Between the moment in which the snapshot counts and the one in which the log goes on after it."""
    receiver.filesystem.crash_after(rng.randint(1, 5), Moment.SNAPSHOT_NAMED)
    return receiver.start


def _end_sender(_world: Faultable, sender: Host, _receiver: Host) -> End:
    sender.end(Ending.POWER_LOST)
    return sender.start


def _pause_sender(_world: Faultable, sender: Host, _receiver: Host) -> End:
    sender.pause()
    return sender.resume


def _report_unreachable(world: Faultable, rng: Random) -> End:
    """A node is said to be gone, and all others are said so to it, though they live."""
    victim = _victim(world, rng).id
    ids = [host.id for host in world.hosts]

    def say() -> None:
        for host in world.hosts:
            if host.node is not None:
                world.network.report_unreachable(host.id, ids if host.id == victim else [victim], host.now)

    for _ in range(rng.randint(1, 5)):
        world.schedule(rng.uniform(0, 0.5), say)
    return lambda: None


FAULTS: dict[str, Fault] = {
    "kill": _end_one(Ending.KILLED),
    "lose power": _end_one(Ending.POWER_LOST),
    "stop": _end_one(Ending.STOPPED),
    "end in a call": _crash_in_a_call,
    "end in a snapshot": _crash_in_a_snapshot,
    "lose power everywhere": _crash_all,
    "restart again and again": _restart_again_and_again,
    "pause": _pause,
    "skew a clock": _skew_clock,
    "disk full": _disk_error(errno.ENOSPC),
    "disk error": _disk_error(errno.EIO),
    "slow disk": _slow_disk,
    "flip a bit": _flip_bit,
    "lose a disk": _lose_disk,
    "isolate": _isolate,
    "split": _split,
    "cut one way": _one_way,
    "ring": _ring,
    "cut some links": _cut_some_links,
    "say that nodes are gone": _report_unreachable,
    "lose messages": _change_network(lambda usual: replace(usual, loss=0.5)),
    "repeat messages": _change_network(lambda usual: replace(usual, duplication=0.5)),
    "delay messages": _change_network(lambda usual: replace(usual, delay_mean=0.05, straggling=0.2)),
    "transfer": _transfer,
    "change members": _change_members,
    "interrupt a snapshot": _interrupt_snapshot,
}
"""Every fault by its name."""
