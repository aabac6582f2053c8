"""What goes wrong: each fault has a name, begins, and is over after a while. A plan of them is drawn from the seed.

A fault is a function from the world and a source of chance to the function that ends it. Adding one is adding a
function to `FAULTS`. Operations that are no faults, such as a transfer of leadership, are planned in the same way.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from raft_pkg.core.membership import AddLearner, Change, Promote, Remove
from raft_pkg.simulation.conditions import LEASE_DRIFT_MAX, Conditions, Network
from raft_pkg.simulation.host import Ending, Host
from raft_pkg.simulation.network import SimulatedNetwork

End = Callable[[], None]


class Faultable(Protocol):
    """What of the world faults can reach."""

    hosts: Sequence[Host]
    clients: Sequence[str]
    network: SimulatedNetwork
    conditions: Conditions

    def may_lose_disk(self, host: Host) -> bool:
        """Whether the cluster survives it."""
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
    chance = Random(f"{seed} faults")
    names = chance.sample(sorted(FAULTS), chance.randint(3, len(FAULTS)))
    begins = sorted(chance.uniform(0.2, conditions.faulty_seconds) for _ in range(conditions.faults))
    return [
        PlannedFault(number, chance.choice(names), time, min(chance.expovariate(3.0), 2.0), f"{seed} fault {number}")
        for number, time in enumerate(begins)
    ]


# --- whom ---------------------------------------------------------------------------------------------------------


def _victim(world: Faultable, chance: Random) -> Host:
    """Half of the time the leader, if there is one."""
    leaders = [host for host in world.hosts if host.is_leader]
    return chance.choice(leaders) if leaders and chance.random() < 0.5 else chance.choice(world.hosts)


def _some(world: Faultable, chance: Random) -> list[str]:
    """A minority or a majority, in any order."""
    ids = [host.id for host in world.hosts]
    chance.shuffle(ids)
    return ids[: chance.randint(1, max(1, len(ids) - 1))]


# --- nodes --------------------------------------------------------------------------------------------------------


def _end_one(ending: Ending) -> Fault:
    def inject(world: Faultable, chance: Random) -> End:
        host = _victim(world, chance)
        host.end(ending)
        return host.start

    return inject


def _crash_in_a_call(world: Faultable, chance: Random) -> End:
    """The process or the power ends in the middle of one of the next calls of the system: writes are torn."""
    host = _victim(world, chance)
    host.filesystem.crash_after(chance.randint(0, 6))
    if chance.random() < 0.5:  # and again soon after it has started, before it had much to sync
        for number in range(1, 20):
            world.schedule(0.03 * number, host.start)
        world.schedule(chance.uniform(0.1, 0.6), lambda: host.end(Ending.POWER_LOST))

    def end() -> None:
        host.filesystem.crash_after(None)
        host.start()

    return end


def _crash_all(world: Faultable, chance: Random) -> End:
    """Power is lost everywhere at nearly the same moment."""
    for host in world.hosts:
        world.schedule(chance.uniform(0, 0.002), lambda host=host: host.end(Ending.POWER_LOST))  # type: ignore[misc]

    def end() -> None:
        for host in world.hosts:
            world.schedule(chance.uniform(0, 0.1), host.start)

    return end


def _restart_again_and_again(world: Faultable, chance: Random) -> End:
    host = _victim(world, chance)
    for number in range(chance.randint(2, 4)):
        world.schedule(0.05 * number, lambda: host.end(Ending.POWER_LOST))
        world.schedule(0.05 * number + chance.uniform(0, 0.04), host.start)
    return host.start


def _pause(world: Faultable, chance: Random) -> End:
    host = _victim(world, chance)
    host.pause()
    return host.resume


def _skew_clock(world: Faultable, chance: Random) -> End:
    host = _victim(world, chance)
    rates: Sequence[float] = (0.5, 0.8, 0.9, 1.1, 1.25, 2.0)
    if world.conditions.raft.lease_reads:  # no clock may run faster than another by more
        rates = (1.0, 1 - LEASE_DRIFT_MAX / 2, 1 - LEASE_DRIFT_MAX * 0.9)
    host.skew_clock(chance.choice(rates))
    return lambda: host.skew_clock(1.0)


# --- disks --------------------------------------------------------------------------------------------------------


def _disk_error(number: int) -> Fault:
    def inject(world: Faultable, chance: Random) -> End:
        host = _victim(world, chance)
        host.filesystem.fail_after(chance.randint(0, 5), number)

        def end() -> None:
            host.filesystem.heal()
            host.start()

        return end

    return inject


def _slow_disk(world: Faultable, chance: Random) -> End:
    host = _victim(world, chance)
    usual, host.sync_seconds_max = host.sync_seconds_max, chance.uniform(0.05, 0.5)

    def end() -> None:
        host.sync_seconds_max = usual

    return end


def _flip_bit(world: Faultable, chance: Random) -> End:
    """A bit changes in what was synced, while the node is down; who restores the disk later gives it back."""
    host = _victim(world, chance)
    host.end(Ending.KILLED)
    if host.node is None and host.damaged is None:
        host.damaged = host.filesystem.flip_bit(chance)
    return host.start


# --- the network --------------------------------------------------------------------------------------------------


def _cut(world: Faultable, links: set[tuple[str, str]]) -> End:
    added = links - world.network.cut
    world.network.cut |= added
    return lambda: world.network.cut.difference_update(added)


def _between(some: Sequence[str], others: Sequence[str]) -> set[tuple[str, str]]:
    return {(a, b) for a in some for b in others if a != b}


def _isolate(world: Faultable, chance: Random) -> End:
    """One node hears nobody and is heard by nobody, but by its clients half of the time."""
    victim = _victim(world, chance).id
    others = [host.id for host in world.hosts]
    if chance.random() < 0.5:
        others += world.clients
    return _cut(world, _between([victim], others) | _between(others, [victim]))


def _split(world: Faultable, chance: Random) -> End:
    """Two parts that don't hear each other; clients reach both."""
    some = _some(world, chance)
    others = [host.id for host in world.hosts if host.id not in some]
    return _cut(world, _between(some, others) | _between(others, some))


def _one_way(world: Faultable, chance: Random) -> End:
    """A node that is heard and hears nobody, or the other way round."""
    victim = _victim(world, chance).id
    others = [host.id for host in world.hosts]
    return _cut(world, _between([victim], others) if chance.random() < 0.5 else _between(others, [victim]))


def _ring(world: Faultable, chance: Random) -> End:
    """Each node hears its two neighbours only: of five, all see a majority and none the same."""
    ids = [host.id for host in world.hosts]
    chance.shuffle(ids)
    neighbours = _between(ids, ids)
    for position, node in enumerate(ids):
        following = ids[(position + 1) % len(ids)]
        neighbours -= {(node, following), (following, node)}
    return _cut(world, neighbours)


def _cut_some_links(world: Faultable, chance: Random) -> End:
    """Any choice of links, each in one direction."""
    ids = [host.id for host in world.hosts]
    share = chance.random()
    return _cut(world, {link for link in sorted(_between(ids, ids)) if chance.random() < share})


def _change_network(change: Callable[[Network], Network]) -> Fault:
    def inject(world: Faultable, _chance: Random) -> End:
        usual = world.network.conditions
        world.network.conditions = change(usual)

        def end() -> None:
            world.network.conditions = usual

        return end

    return inject


# --- operations ---------------------------------------------------------------------------------------------------


def _transfer(world: Faultable, chance: Random) -> End:
    """Whoever leads is asked to hand over, now and once more."""
    target = chance.choice(world.hosts).id
    for host in world.hosts:
        host.transfer(target)

    def end() -> None:
        for host in world.hosts:
            host.transfer(target)

    return end


def _change_members(world: Faultable, chance: Random) -> End:
    """Whoever leads is asked for a change, again and again until one begins."""

    def change() -> None:
        leaders = [host for host in world.hosts if host.is_leader and host.node is not None]
        if not leaders:
            return
        leader = chance.choice(leaders)
        assert leader.node is not None
        configuration = leader.node.raft.configuration
        inside = {member.node_id for member in configuration.members}
        outside = [host for host in world.hosts if host.id not in inside]
        changes: list[Change] = [Promote(member.node_id) for member in configuration.learners]
        changes += [AddLearner(h.id, f"{h.id}:6000", chance.random() < 0.7) for h in outside] * 2
        if len(configuration.voters) > 2 or chance.random() < 0.2:
            changes += [Remove(node_id) for node_id in sorted(inside)]
        if changes:
            leader.change_members(chance.choice(changes))

    for number in range(chance.randint(1, 4)):
        world.schedule(0.1 * number, change)
    return change


def _lose_disk(world: Faultable, chance: Random) -> End:
    """A machine comes back with an empty disk, if the others can go on without what it had promised."""
    host = _victim(world, chance)
    if not world.may_lose_disk(host):
        return lambda: None
    host.lose_disk()
    world.schedule(chance.uniform(0, 0.3), host.start)
    return host.start


FAULTS: dict[str, Fault] = {
    "kill": _end_one(Ending.KILLED),
    "lose power": _end_one(Ending.POWER_LOST),
    "stop": _end_one(Ending.STOPPED),
    "end in a call": _crash_in_a_call,
    "lose power everywhere": _crash_all,
    "restart again and again": _restart_again_and_again,
    "pause": _pause,
    "skew a clock": _skew_clock,
    "disk full": _disk_error(errno.ENOSPC),
    "disk error": _disk_error(errno.EIO),
    "slow disk": _slow_disk,
    "flip a bit": _flip_bit,
    "isolate": _isolate,
    "split": _split,
    "cut one way": _one_way,
    "ring": _ring,
    "cut some links": _cut_some_links,
    "lose messages": _change_network(lambda usual: replace(usual, loss=0.5)),
    "repeat messages": _change_network(lambda usual: replace(usual, duplication=0.5)),
    "delay messages": _change_network(lambda usual: replace(usual, delay_mean=0.05, straggling=0.2)),
    "transfer": _transfer,
    "change members": _change_members,
    "change more members": _change_members,
    "lose a disk": _lose_disk,
}
"""Every fault by its name."""
