"""Membership changes (§6, dissertation §4): overlapping quorums, and when a leader may begin a change."""

from collections.abc import Callable

from raft_pkg.core.configuration import Configuration, Member, quorums_overlap
from raft_pkg.core.types import Entry, EntryKind
from raft_testbed.simulation.safety.disks import DiskChecker
from raft_testbed.simulation.safety.observation import Identity, Observation, describe_configuration
from raft_testbed.simulation.safety.violation import (
    LEARNERS,
    NON_MEMBERS,
    ONE_CHANGE,
    OWN_TERM_CHANGE,
    QUORUMS_OVERLAP,
    Violation,
)


class MembershipChecker:
    """Checks the configurations in logs. Owns the decoded configurations."""

    def __init__(self, disks: DiskChecker) -> None:
        self._disks = disks
        self._decoded: dict[bytes, Configuration] = {}

    def decode(self, entry: Entry) -> Configuration:
        """Return the configuration of an entry of that kind."""
        configuration = self._decoded.get(entry.data)
        if configuration is None:
            configuration = self._decoded[entry.data] = Configuration.decode(entry.data)
        return configuration

    def changes_after(self, now: Observation, index: int) -> list[Entry]:
        """Return the configuration entries of a log after an index, including those compacted in this step."""
        entries = (self._disks.entry_of(now, later) for later in range(index + 1, now.last_index + 1))
        return [entry for entry in entries if entry.kind is EntryKind.CONFIGURATION]

    def check_overlap(self, now: Observation, entry: Entry) -> None:
        """Check that a configuration and its predecessor in the log cannot decide without each other (§6)."""
        before = self._configuration_before(now, entry.index)
        after = self.decode(entry)
        if before and not quorums_overlap(before, after):
            raise Violation(
                QUORUMS_OVERLAP,
                f"{now.node}: majorities of {describe_configuration(after)}, entry {entry.index}, need not share a "
                f"voter with those of the preceding {describe_configuration(before)}",
                now.node,
            )

    def check_changes(self, before: Observation | None, now: Observation) -> None:
        """Check that a leader began a change only after committing the previous one and an entry of its term (§6)."""
        known = before.configuration_index if before else now.first_index - 1
        changes = self.changes_after(now, known)
        for entry in (entry for entry in changes if entry.term == now.term):
            if known > now.commit_index:
                raise Violation(
                    ONE_CHANGE,
                    f"{now.node} changes the members at {entry.index}, while the change at {known} is not committed",
                    now.node,
                )
            if now.term_at(now.commit_index) != now.term:
                raise Violation(
                    OWN_TERM_CHANGE,
                    f"{now.node} changes the members at {entry.index}, and has committed nothing in term {now.term}",
                    now.node,
                )
            known = entry.index

    def _configuration_before(self, now: Observation, index: int) -> Configuration | None:
        for entry in reversed(now.entries[: index - now.first_index]):
            if entry.kind is EntryKind.CONFIGURATION:
                return self.decode(entry)
        return now.snapshot.configuration if now.snapshot and now.snapshot.index < index else None


def agree(configuration: Configuration, supports: Callable[[Identity], bool]) -> bool:
    """Return whether a majority of the voters supports something, and of the outgoing voters if there are any (§6)."""

    def majority(group: tuple[Member, ...]) -> bool:
        return 2 * sum(supports((member.node_id, member.incarnation)) for member in group) > len(group)

    return majority(configuration.voters) and (not configuration.outgoing or majority(configuration.outgoing))


def miscounted(configuration: Configuration, supporters: set[Identity], otherwise: str) -> str:
    """Return the property that explains a wrong majority.

    It is the one about learners or non-members if counting them would have made a majority, else `otherwise`.
    """
    learners = {(member.node_id, member.incarnation) for member in configuration.learners} & supporters
    voters = {(member.node_id, member.incarnation) for member in configuration.voters + configuration.outgoing}
    non_members = supporters - learners - voters
    needed = len(configuration.voters) // 2 + 1
    if len(supporters) < needed:
        return otherwise
    return LEARNERS if learners else NON_MEMBERS if non_members else otherwise
