"""Who belongs to a cluster, who votes, and which majorities decide (paper §6, dissertation §4).

Values only: a `Configuration` says who is in, `Electorate` counts by it. How one configuration follows another is in
`membership`; when, is the leader's business (`raft`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Number = TypeVar("Number", int, float)

NODE_ID_BYTES_MAX = 255
INCARNATION_MAX = (1 << 63) - 1
MEMBERS_MAX = 64
"""Voters and learners of one configuration, each counted by itself: a limit for decoders, far above any use."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node as the others know it. A node that lost its disk comes back as another one: a new incarnation."""

    node_id: str
    address: str = ""
    """HOST:PORT at which it takes connections, as the other nodes reach it."""
    incarnation: int = 0
    """Drawn when its disk was first used. Promises of another incarnation of the same identity are void."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a cluster as an entry of the log states them; each field in the order of the identities.

    While `outgoing` is not empty this is C_old,new of §6: `outgoing` are the voters of C_old, `voters` those of C_new,
    and everything takes a majority of each. Raises `ValueError` when an identity occurs twice, or a limit is broken.
    """

    voters: tuple[Member, ...] = ()
    learners: tuple[Member, ...] = ()
    """They get the log and count for nothing (dissertation §4.2.1)."""
    outgoing: tuple[Member, ...] = ()
    to_promote: tuple[str, ...] = ()
    """Identities of learners that the leader makes voters by itself as soon as they have caught up."""

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
        """Voters by identity alone, for where addresses and incarnations do not matter."""
        return cls(tuple(Member(voter) for voter in voters))

    def __bool__(self) -> bool:
        """Whether anybody belongs to it: before a node has heard of its cluster, nobody does."""
        return bool(self.voters)

    @property
    def is_joint(self) -> bool:
        """Whether this is the transition C_old,new (§6)."""
        return bool(self.outgoing)

    @property
    def members(self) -> tuple[Member, ...]:
        """All to whom a leader replicates. Of an identity in two incarnations, the newer: the older one is gone."""
        newer = {member.node_id for member in self.voters + self.learners}
        return self.voters + self.learners + tuple(m for m in self.outgoing if m.node_id not in newer)

    def member(self, node_id: str) -> Member | None:
        """The member of that identity, in its newest incarnation."""
        return next((member for member in self.members if member.node_id == node_id), None)

    def votes(self, node_id: str, incarnation: int) -> bool:
        """Whether this very incarnation of a node is a voter, of C_old or of C_new."""
        return any(m.node_id == node_id and m.incarnation == incarnation for m in self.voters + self.outgoing)

    def is_learner(self, node_id: str) -> bool:
        """Whether the node gets the log and does not vote."""
        return any(member.node_id == node_id for member in self.learners)

    def encode(self) -> bytes:
        """The data of an entry of kind CONFIGURATION: JSON, the same bytes for the same configuration."""
        fields: dict[str, Any] = {
            name: [[member.node_id, member.address, member.incarnation] for member in getattr(self, name)]
            for name in ("voters", "learners", "outgoing")
        }
        return json.dumps({**fields, "to_promote": list(self.to_promote)}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Configuration":
        """The reverse of `encode`. Raises `ValueError`, and nothing else, on data that state no configuration."""
        try:
            fields = json.loads(data)
            groups = {n: tuple(_decode_member(m) for m in fields.pop(n)) for n in ("voters", "learners", "outgoing")}
            to_promote = tuple(_typed(node_id, str) for node_id in fields.pop("to_promote"))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ValueError(f"no configuration: {error!r}") from None
        if fields:
            raise ValueError(f"no configuration: it has a field {next(iter(fields))!r}")
        return cls(**groups, to_promote=to_promote)


def _decode_member(value: Any) -> Member:
    node_id, address, incarnation = _typed(value, list)
    return Member(_typed(node_id, str), _typed(address, str), _typed(incarnation, int))


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _check_members(name: str, members: tuple[Member, ...]) -> None:
    ids = [member.node_id for member in members]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{name}: an identity occurs twice: {', '.join(ids)}")
    if len(ids) > 2 * MEMBERS_MAX:
        raise ValueError(f"{name}: {len(ids)} members, at most {2 * MEMBERS_MAX}")
    for member in members:
        if not 0 < len(member.node_id.encode()) <= NODE_ID_BYTES_MAX or not 0 <= member.incarnation <= INCARNATION_MAX:
            raise ValueError(f"{name}: {member.node_id!r} in incarnation {member.incarnation} can't be a member")


class Electorate:
    """Counts majorities in one configuration: of its voters, and while it is joint of the outgoing ones as well (§6).

    Who counts is an incarnation: an outgoing voter whose identity has another one by now never says anything again.
    """

    def __init__(self, configuration: Configuration) -> None:
        newest = {member.node_id: member for member in configuration.members}
        groups = [group for group in (configuration.voters, configuration.outgoing) if group]
        self._groups = [([m.node_id for m in group if newest[m.node_id] == m], len(group) // 2) for group in groups]
        """Of each group who can be heard, and how many of the greatest numbers are passed over."""

    def reached(self, of: Mapping[str, Number]) -> Number:
        """The greatest number that a majority (of each group) has reached. Who is not in `of` has reached nothing."""
        return min((self._reached(ids, passed_over, of) for ids, passed_over in self._groups), default=0)

    def _reached(self, ids: list[str], passed_over: int, of: Mapping[str, Number]) -> Number | int:
        numbers = [of[node_id] for node_id in ids if node_id in of]
        if len(numbers) <= passed_over:
            return 0
        numbers.sort(reverse=True)
        return numbers[passed_over]

    def agreed(self, supports: Callable[[str], bool]) -> bool:
        """Whether a majority (of each group) supports something. Nobody agrees on anything where nobody votes."""
        return bool(self._groups) and all(sum(map(supports, ids)) > passed_over for ids, passed_over in self._groups)

    @property
    def quorum(self) -> int:
        """How many of the (newer) voters are a majority."""
        return self._groups[0][1] + 1 if self._groups else 1


def quorums_overlap(before: Configuration, after: Configuration) -> bool:
    """Whether any two majorities, one that decides by each configuration, have a voter in common (§6).

    Adjacent configurations have a group of voters in common, or groups that differ by at most one voter.
    """

    def groups(configuration: Configuration) -> list[frozenset[tuple[str, int]]]:
        both: Iterable[tuple[Member, ...]] = filter(None, (configuration.voters, configuration.outgoing))
        return [frozenset((m.node_id, m.incarnation) for m in group) for group in both]

    return any(
        len(one) // 2 + 1 + len(other) // 2 + 1 > len(one | other) for one in groups(before) for other in groups(after)
    )
