"""Helpers for tests of membership changes."""

from collections.abc import Iterable, Mapping

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.messages import AppendEntriesReply, RequestVoteReply
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, Role
from tests.support.changing import address_of
from tests.support.core import CONFIG, acknowledge, carry_out, follower, receive

ABC = ("a", "b", "c")


def configuration(
    voters: Iterable[str],
    *,
    learners: Iterable[str] = "",
    outgoing: Iterable[str] = "",
    to_promote: Iterable[str] = "",
    incarnations: Mapping[str, int] | None = None,
) -> Configuration:
    """Return a configuration of members with one-letter identities, by default in incarnation 0."""

    def members(names: Iterable[str]) -> tuple[Member, ...]:
        return tuple(Member(name, address_of(name), (incarnations or {}).get(name, 0)) for name in names)

    return Configuration(members(voters), members(learners), members(outgoing), tuple(to_promote))


def configuration_entry(index: int, term: int, value: Configuration) -> Entry:
    """Return a log entry with a configuration."""
    return Entry(index, term, EntryKind.CONFIGURATION, value.encode())


def lead(
    value: Configuration,
    *,
    config: RaftConfig = CONFIG,
    terms: Iterable[int] = (),
    committed: bool = True,
    unresponsive: Iterable[str] = "",
) -> Raft:
    """Return `a` as the leader of a configuration; members in `unresponsive` have never replied."""
    raft = follower(tuple(terms), config=config, configuration=value)
    raft.tick(raft.next_timeout())
    others = [peer for peer in raft.peers if peer not in unresponsive]
    for peer in others:
        receive(raft, peer, RequestVoteReply(vote_granted=True))
    carry_out(raft)
    assert raft.role is Role.LEADER
    if committed:
        acknowledge(raft, *others)
        carry_out(raft)
        assert raft.commit_index == raft.log.last_index
    return raft


def reject(raft: Raft, peer: str, rejected_index: int, conflict_index: int) -> None:
    """Deliver a rejection: the follower's log ends before `conflict_index`."""
    reply = AppendEntriesReply(False, rejected_index=rejected_index, conflict_index=conflict_index)
    receive(raft, peer, reply)
