"""How one configuration follows another (paper §6, dissertation §4), and how a cluster begins.

Values in, values out: whether the cluster is ready for a change is the leader's to know (`raft`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from raft_pkg.core.configuration import MEMBERS_MAX, Configuration, Member
from raft_pkg.core.messages import Discovery

LEADERS_MAX = 64
"""Leaders whose addresses are remembered by a node that belongs to no cluster."""


class ChangeRefusedError(Exception):
    """The members can't be changed so, or not now; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Give a node the log (dissertation §4.2.1); `promote`: make it a voter as soon as it has caught up."""

    node_id: str
    address: str
    promote: bool = False


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a learner that has caught up a voter."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a voter or a learner out."""

    node_id: str


Change = AddLearner | Promote | Remove


def with_learner(configuration: Configuration, member: Member, *, promote: bool) -> Configuration:
    """A new learner. Raises `ChangeRefusedError`."""
    present = configuration.member(member.node_id)
    if present is not None:
        role = "learner" if configuration.is_learner(member.node_id) else "voter"
        raise ChangeRefusedError(f"{member.node_id} is a {role} already, at {present.address}")
    taken = next((m.node_id for m in configuration.members if m.address == member.address), None)
    if taken is not None:
        raise ChangeRefusedError(f"{member.address} is the address of {taken}")
    if len(configuration.voters + configuration.learners) >= MEMBERS_MAX:
        raise ChangeRefusedError(f"a cluster has at most {MEMBERS_MAX} members")
    return replace(
        configuration,
        learners=(*configuration.learners, member),
        to_promote=(*configuration.to_promote, *((member.node_id,) if promote else ())),
    )


def promoted(configuration: Configuration, node_id: str) -> Configuration:
    """A learner becomes a voter: C_old,new. Raises `ChangeRefusedError`."""
    learner = next((m for m in configuration.learners if m.node_id == node_id), None)
    if learner is None:
        why = "a voter already" if configuration.member(node_id) else "not a member: add it first"
        raise ChangeRefusedError(f"{node_id} is {why}")
    rest = _without(configuration, node_id)
    return replace(rest, voters=(*rest.voters, learner), outgoing=configuration.voters)


def removed(configuration: Configuration, node_id: str) -> Configuration:
    """A member leaves: C_old,new for a voter. Raises `ChangeRefusedError`."""
    if configuration.member(node_id) is None:
        raise ChangeRefusedError(f"{node_id} is not a member ({', '.join(m.node_id for m in configuration.members)})")
    rest = _without(configuration, node_id)
    if configuration.is_learner(node_id):
        return rest
    if not rest.voters:
        raise ChangeRefusedError(f"{node_id} is the last voter: without it there would be no cluster")
    return replace(rest, outgoing=configuration.voters)


def replaced(configuration: Configuration, member: Member) -> Configuration:
    """A member comes back without its disk: a learner, and promoted again later if it was a voter.

    What its former incarnation promised is void, so its vote counts no more from C_old,new on.
    """
    rest = _without(configuration, member.node_id)
    was_voter = not configuration.is_learner(member.node_id)
    to_promote = was_voter or member.node_id in configuration.to_promote
    return replace(
        rest,
        learners=(*rest.learners, member),
        to_promote=(*rest.to_promote, *((member.node_id,) if to_promote else ())),
        outgoing=configuration.voters if was_voter else (),
    )


def finished(configuration: Configuration) -> Configuration:
    """C_new, after C_old,new."""
    return replace(configuration, outgoing=())


def _without(configuration: Configuration, node_id: str) -> Configuration:
    def others(members: Iterable[Member]) -> tuple[Member, ...]:
        return tuple(member for member in members if member.node_id != node_id)

    return Configuration(
        others(configuration.voters),
        others(configuration.learners),
        to_promote=tuple(other for other in configuration.to_promote if other != node_id),
    )


@dataclass(slots=True)
class ConfigurationLog:
    """Which configuration holds at which index: a node goes by the newest of its log, committed or not (§6)."""

    _known: list[tuple[int, Configuration]]

    @property
    def newest(self) -> Configuration:
        """The configuration that this node goes by."""
        return self._known[-1][1]

    @property
    def newest_index(self) -> int:
        """The index of its entry, or that of the snapshot it comes from; 0: it was given at the start."""
        return self._known[-1][0]

    def at(self, index: int) -> Configuration:
        """The newest configuration up to an index, which is not below that of the last snapshot."""
        return next(configuration for known, configuration in reversed(self._known) if known <= index)

    def append(self, index: int, configuration: Configuration) -> None:
        """The log has got another one."""
        self._known.append((index, configuration))

    def truncate_from(self, index: int) -> bool:
        """The entries from an index on are gone; returns whether another configuration holds now."""
        before = len(self._known)
        while len(self._known) > 1 and self._known[-1][0] >= index:
            self._known.pop()
        return len(self._known) < before

    def compact(self, index: int) -> None:
        """A snapshot up to an index has been made: what held before is asked for no more."""
        while len(self._known) > 1 and self._known[1][0] <= index:
            self._known.pop(0)


@dataclass(slots=True)
class BootstrapPeers:
    """What a node has heard of others by `Discovery`, before they belong to the same cluster as it does."""

    peers: Mapping[str, str]
    """Whom it was told to begin a cluster with, itself included: identity to address."""
    leaders: dict[str, str] = field(default_factory=dict)
    """Members of a cluster that were named by others: identity to address."""
    _uninitialized: dict[str, int] = field(default_factory=dict)
    """Incarnations of those that have answered that they belong to no cluster, and were told to begin the same one."""

    def heard(self, sender: str, incarnation: int, discovery: Discovery) -> None:
        """A node has said who it is. Only by an answer does it count as uninitialized: a greeting may be from long ago."""
        if not discovery.uninitialized or discovery.peers != tuple(sorted(self.peers)):
            self._uninitialized.pop(sender, None)
        elif discovery.answer and sender in self.peers:
            self._uninitialized[sender] = incarnation
        if discovery.leader and discovery.leader_address and len(self.leaders) < LEADERS_MAX:
            self.leaders[discovery.leader] = discovery.leader_address

    def beginning(self, node_id: str, incarnation: int) -> Configuration | None:
        """The configuration with which this node, itself uninitialized, begins the cluster; None: that is not for it to do.

        One node alone begins, and only when all of them, in the incarnations that it names, have answered this
        incarnation that they were uninitialized: a node that comes back with an empty disk meets at least one that knows
        better, and is no voter again by mistake.
        """
        others = [peer for peer in self.peers if peer != node_id]
        if not self.peers or node_id != min(self.peers) or not self._uninitialized.keys() >= set(others):
            return None
        incarnations = {**self._uninitialized, node_id: incarnation}
        return Configuration(tuple(Member(peer, address, incarnations[peer]) for peer, address in self.peers.items()))
