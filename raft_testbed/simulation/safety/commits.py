"""Which entries are committed, by the rules of §5.3 and §5.4.2, and that they never change afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, EntryKind
from raft_testbed.simulation.safety.disks import DiskChecker
from raft_testbed.simulation.safety.members import MembershipChecker, agree, miscounted
from raft_testbed.simulation.safety.observation import (
    Observation,
    describe_configuration,
    describe_entry,
    describe_nodes,
)
from raft_testbed.simulation.safety.violation import COMMIT_INDEX, COMMIT_RULE, STATE_MACHINE_SAFETY, Violation


@dataclass(slots=True)
class Committed:
    """A committed entry."""

    entry: Entry
    term: int
    """Term of the leader that committed it."""
    digest: int
    """CRC-32 of all commands that took effect up to and including this entry."""
    commands: Sequence[bytes]
    """The commands of this entry that take effect."""
    configuration: Configuration
    """The newest configuration up to and including this entry."""
    configuration_index: int


class CommitChecker:
    """Checks commit indexes. Owns the sequence of committed entries."""

    def __init__(self, disks: DiskChecker, members: MembershipChecker, initial: Configuration) -> None:
        self.entries: list[Committed] = []
        """Entry `i` is at index `i + 1`."""
        self._disks = disks
        self._members = members
        self.initial = initial
        """The configuration before the first one in the log."""

    @property
    def last_index(self) -> int:
        """The highest index that any node has committed."""
        return len(self.entries)

    @property
    def configuration(self) -> Configuration:
        """The newest committed configuration."""
        return self.entries[-1].configuration if self.entries else self.initial

    @property
    def configuration_index(self) -> int:
        """Index of the newest committed configuration; 0 if there is none."""
        return self.entries[-1].configuration_index if self.entries else 0

    def at(self, index: int) -> Committed | None:
        """Return the committed entry at an index, or None."""
        return self.entries[index - 1] if 0 < index <= len(self.entries) else None

    def check(self, before: Observation | None, now: Observation) -> tuple[Sequence[Entry], int]:
        """Check the commit index of a node.

        Return the entries that no node had committed before, and the term of the leader that commits them.
        """
        commit_before = before.commit_index if before else 0
        if now.commit_index < commit_before:
            raise Violation(
                COMMIT_INDEX, f"{now.node}'s commit index goes from {commit_before} to {now.commit_index}", now.node
            )
        if now.commit_index > now.last_index:
            raise Violation(
                COMMIT_RULE, f"{now.node} commits {now.commit_index}; its log ends at {now.last_index}", now.node
            )
        for index in range(max(commit_before + 1, now.first_index), min(now.commit_index, self.last_index) + 1):
            self._check_same(now, self._disks.entry_of(now, index))
        if now.commit_index <= self.last_index:
            return (), 0
        # In one step, a leader can commit and then step down.
        leader = before if before and before.is_leader and not now.is_leader else now
        self._check_rule(before, now, leader)
        new = range(self.last_index + 1, now.commit_index + 1)
        return [self._disks.entry_of(now, index) for index in new], leader.term

    def add(self, entry: Entry, term: int, commands: Sequence[bytes]) -> Committed:
        """Add the next committed entry, and the commands of it that take effect."""
        last = self.entries[-1] if self.entries else None
        digest = last.digest if last else 0
        for command in commands:
            digest = crc32(command, digest)
        if entry.kind is EntryKind.CONFIGURATION:
            effective = self._members.decode(entry), entry.index
        elif last is None:
            effective = self.initial, entry.index
        else:
            effective = last.configuration, last.configuration_index
        committed = Committed(entry, term, digest, commands, *effective)
        self.entries.append(committed)
        return committed

    def _check_same(self, now: Observation, held: Entry) -> None:
        committed = self.entries[held.index - 1].entry
        if held is not committed and held != committed:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} commits {describe_entry(held)}; {describe_entry(committed)} was committed before",
                now.node,
            )

    def _check_rule(self, before: Observation | None, now: Observation, leader: Observation) -> None:
        """Check that a leader commits, by an entry of its own term, which a majority has on disk."""
        entry = self._disks.entry_of(now, now.commit_index)
        if not leader.is_leader:
            raise Violation(
                COMMIT_RULE,
                f"{now.node} is not the leader and commits {describe_entry(entry)}, which no leader has committed",
                now.node,
            )
        if entry.term != leader.term:
            raise Violation(
                COMMIT_RULE,
                f"{now.node} leads term {leader.term} and commits {describe_entry(entry)} (§5.4.2)",
                now.node,
            )
        effective = self._effective(before, now, leader)
        if not any(self._is_held(entry, configuration) for _, configuration in effective):
            raise self._not_held(now, entry, effective[-1][1])
        # Entries appended after the commit of a configuration, in the same step, need the majorities of that one (§6).
        for (index, configuration), (following, _) in pairwise(effective):
            if index > self.last_index and self._disks.entry_of(now, following).term == leader.term:
                change = self._disks.entry_of(now, index)
                if not self._is_held(change, configuration):
                    raise self._not_held(now, change, configuration)

    def _effective(
        self, before: Observation | None, now: Observation, leader: Observation
    ) -> list[tuple[int, Configuration]]:
        """Return the effective configurations of the leader in this step, in order, with their indexes."""
        if before is None or before.configuration_index == now.configuration_index:
            return [(now.configuration_index, now.configuration)]
        changes = self._members.changes_after(now, before.configuration_index)
        own = [entry for entry in changes if leader is now or entry.term == leader.term]
        return [
            (before.configuration_index, before.configuration),
            *((entry.index, self._members.decode(entry)) for entry in own),
        ]

    def _is_held(self, entry: Entry, configuration: Configuration) -> bool:
        return agree(configuration, lambda member: self._disks.holds(member, entry))

    def _not_held(self, now: Observation, entry: Entry, configuration: Configuration) -> Violation:
        holders = self._disks.holders(entry)
        return Violation(
            miscounted(configuration, holders, COMMIT_RULE),
            f"{now.node} commits {describe_entry(entry)}, which only {describe_nodes(holders)} has on disk, "
            f"in {describe_configuration(configuration)}",
            now.node,
        )
