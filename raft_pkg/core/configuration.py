"""Configurations of a cluster and their quorums (paper §6, dissertation §4)."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Number = TypeVar("Number", int, float)

NODE_ID_BYTES_MAX = 255
INCARNATION_MAX = (1 << 63) - 1
MEMBERS_MAX = 64
"""Limit of the voters and learners of a configuration, far above any use."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster. A node that lost its disk returns as another member, with a new incarnation."""

    node_id: str
    address: str = ""
    """HOST:PORT at which other nodes reach it."""
    incarnation: int = 0
    """Drawn when its disk was first used. Votes and acknowledgements of other incarnations do not count."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a cluster, as an entry of the log has them; each field is sorted by identity.

    With `outgoing` this is the joint configuration C_old,new of §6: `outgoing` are the voters of C_old, `voters` those
    of C_new, and every decision needs a majority of each. Raise `ValueError` if an identity occurs twice, an identity
    or incarnation is out of range, or there are too many members.
    """

    voters: tuple[Member, ...] = ()
    learners: tuple[Member, ...] = ()
    """Members that receive the log and have no vote (dissertation §4.2.1)."""
    outgoing: tuple[Member, ...] = ()
    to_promote: tuple[str, ...] = ()
    """Identities of learners that the leader promotes as soon as they have caught up."""

    def __post_init__(self) -> None:
        for name in ("voters", "learners", "outgoing"):
            members = tuple(sorted(getattr(self, name), key=lambda member: member.node_id))
            object.__setattr__(self, name, members)
            _check_members(name, members)
        object.__setattr__(self, "to_promote", tuple(sorted(self.to_promote)))
        _check_members("voters and learners", self.voters + self.learners)
        non_members = set(self.to_promote) - {member.node_id for member in self.learners}
        if non_members:
            raise ValueError(f"to_promote: {', '.join(sorted(non_members))}: not among the learners")

    @classmethod
    def of(cls, *voters: str) -> "Configuration":
        """Return a configuration of voters without addresses, in incarnation 0."""
        return cls(tuple(Member(voter) for voter in voters))

    def __bool__(self) -> bool:
        """Whether there are voters. A node that belongs to no cluster has a configuration without any."""
        return bool(self.voters)

    @property
    def is_joint(self) -> bool:
        """Whether this is C_old,new (§6)."""
        return bool(self.outgoing)

    @property
    def members(self) -> tuple[Member, ...]:
        """All nodes to which a leader replicates; of an identity in two incarnations only the newer one."""
        newer = {member.node_id for member in self.voters + self.learners}
        return self.voters + self.learners + tuple(m for m in self.outgoing if m.node_id not in newer)

    def member(self, node_id: str) -> Member | None:
        """Return the member with that identity in its newest incarnation, or None."""
        return next((member for member in self.members if member.node_id == node_id), None)

    def is_voter(self, node_id: str, incarnation: int) -> bool:
        """Return whether a node in this incarnation is a voter of C_old or C_new."""
        return any(m.node_id == node_id and m.incarnation == incarnation for m in self.voters + self.outgoing)

    def is_learner(self, node_id: str) -> bool:
        """Return whether a node is a learner."""
        return any(member.node_id == node_id for member in self.learners)

    def encode(self) -> bytes:
        """Return the data of a CONFIGURATION entry: JSON, with the same bytes for equal configurations."""
        fields: dict[str, Any] = {
            name: [[member.node_id, member.address, member.incarnation] for member in getattr(self, name)]
            for name in ("voters", "learners", "outgoing")
        }
        return json.dumps({**fields, "to_promote": list(self.to_promote)}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Configuration":
        """Reverse `encode`. Raise only `ValueError`, for data that are not a valid configuration."""
        try:
            fields = json.loads(data)
            groups = {n: tuple(_decode_member(m) for m in fields.pop(n)) for n in ("voters", "learners", "outgoing")}
            to_promote = tuple(_typed(node_id, str) for node_id in fields.pop("to_promote"))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a configuration: {error!r}") from None
        if fields:
            raise ValueError(f"not a configuration: unknown field {next(iter(fields))!r}")
        return cls(**groups, to_promote=to_promote)


def _decode_member(value: Any) -> Member:
    node_id, address, incarnation = _typed(value, list)
    return Member(_typed(node_id, str), _typed(address, str), _typed(incarnation, int))


def _typed(value: Any, expected: type) -> Any:
    if type(value) is not expected:
        raise ValueError(f"expected {expected.__name__}, found {value!r}")
    return value


def _check_members(name: str, members: tuple[Member, ...]) -> None:
    ids = [member.node_id for member in members]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{name}: an identity occurs twice: {', '.join(ids)}")
    if len(ids) > 2 * MEMBERS_MAX:
        raise ValueError(f"{name}: {len(ids)} members, at most {2 * MEMBERS_MAX}")
    for member in members:
        if not 0 < len(member.node_id.encode()) <= NODE_ID_BYTES_MAX or not 0 <= member.incarnation <= INCARNATION_MAX:
            raise ValueError(f"{name}: {member.node_id!r} in incarnation {member.incarnation} cannot be a member")


class Electorate:
    """Counts quorums of a configuration: a majority of its voters, and of the outgoing voters if it is joint (§6).

    An outgoing voter whose identity has a newer incarnation counts as one that never replies.
    """

    def __init__(self, configuration: Configuration) -> None:
        newest = {member.node_id: member for member in configuration.members}
        groups = [group for group in (configuration.voters, configuration.outgoing) if group]
        self._groups = [([m.node_id for m in group if newest[m.node_id] == m], len(group) // 2) for group in groups]
        """For each group, the identities that can reply, and how many replies are not yet a majority."""

    def reached(self, values: Mapping[str, Number]) -> Number:
        """Return the greatest value that a quorum has reached, given the values of nodes; missing voters count as 0."""
        return min((self._reached(ids, minority, values) for ids, minority in self._groups), default=0)

    def _reached(self, ids: list[str], minority: int, values: Mapping[str, Number]) -> Number | int:
        known = [values[node_id] for node_id in ids if node_id in values]
        if len(known) <= minority:
            return 0
        known.sort(reverse=True)
        return known[minority]

    def agreed(self, supports: Callable[[str], bool]) -> bool:
        """Return whether the supporters are a quorum; without voters there is none."""
        return bool(self._groups) and all(sum(map(supports, ids)) > minority for ids, minority in self._groups)

    @property
    def quorum(self) -> int:
        """How many voters are a majority, of C_new if the configuration is joint."""
        return self._groups[0][1] + 1 if self._groups else 1


def quorums_overlap(before: Configuration, after: Configuration) -> bool:
    """Return whether every quorum of one configuration shares a voter with every quorum of the other (§6).

    The result can be False for two joint configurations although their quorums do overlap.
    """

    def groups(configuration: Configuration) -> list[frozenset[tuple[str, int]]]:
        both: Iterable[tuple[Member, ...]] = filter(None, (configuration.voters, configuration.outgoing))
        return [frozenset((m.node_id, m.incarnation) for m in group) for group in both]

    return any(
        len(one) // 2 + 1 + len(other) // 2 + 1 > len(one | other) for one in groups(before) for other in groups(after)
    )
