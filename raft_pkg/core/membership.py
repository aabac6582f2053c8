"""Membership changes as functions from one configuration to the next (paper §6, dissertation §4).

`membership_changes` decides whether a change is possible now.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from raft_pkg.core.configuration import MEMBERS_MAX, Configuration, Member
from raft_pkg.core.errors import ChangeRefusedError


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Add a learner (dissertation §4.2.1); with `promote` it becomes a voter as soon as it has caught up."""

    node_id: str
    address: str
    promote: bool = False


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a voter of a learner that has caught up."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a voter or a learner."""

    node_id: str


Change = AddLearner | Promote | Remove


def with_learner(configuration: Configuration, member: Member, *, promote: bool) -> Configuration:
    """Return the configuration with another learner. Raise `ChangeRefusedError`."""
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
    """Return the joint configuration (C_old,new) that makes a voter of a learner. Raise `ChangeRefusedError`."""
    learner = next((m for m in configuration.learners if m.node_id == node_id), None)
    if learner is None:
        why = "a voter already" if configuration.member(node_id) else "not a member: add it first"
        raise ChangeRefusedError(f"{node_id} is {why}")
    rest = _without(configuration, node_id)
    return replace(rest, voters=(*rest.voters, learner), outgoing=configuration.voters)


def removed(configuration: Configuration, node_id: str) -> Configuration:
    """Return the configuration without a member, joint (C_old,new) for a voter. Raise `ChangeRefusedError`."""
    if configuration.member(node_id) is None:
        raise ChangeRefusedError(f"{node_id} is not a member ({', '.join(m.node_id for m in configuration.members)})")
    rest = _without(configuration, node_id)
    if configuration.is_learner(node_id):
        return rest
    if not rest.voters:
        raise ChangeRefusedError(f"{node_id} is the last voter; the cluster would be left without one")
    return replace(rest, outgoing=configuration.voters)


def replaced(configuration: Configuration, member: Member) -> Configuration:
    """Return the configuration with the new incarnation of a member that has lost its disk.

    It is a learner, to be promoted if it was a voter: the votes and acknowledgements of the previous incarnation are
    lost.
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


def left_joint(configuration: Configuration) -> Configuration:
    """Return C_new, which follows C_old,new."""
    return replace(configuration, outgoing=())


def _without(configuration: Configuration, node_id: str) -> Configuration:
    def others(members: Iterable[Member]) -> tuple[Member, ...]:
        return tuple(member for member in members if member.node_id != node_id)

    return Configuration(
        others(configuration.voters),
        others(configuration.learners),
        to_promote=tuple(other for other in configuration.to_promote if other != node_id),
    )
