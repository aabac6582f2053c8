"""Logs: Leader Append-Only and Log Matching (Figure 3), and what a leader knows of its followers' logs."""

from raft_pkg.core.types import Entry, EntryKind
from raft_testbed.simulation.safety.commits import CommitChecker
from raft_testbed.simulation.safety.disks import DiskChecker
from raft_testbed.simulation.safety.members import MembershipChecker
from raft_testbed.simulation.safety.observation import Identity, Observation, describe_entry
from raft_testbed.simulation.safety.violation import (
    COMPACTION,
    LEADER_APPEND_ONLY,
    LOG_MATCHING,
    MATCH_INDEX,
    Violation,
)


class LogChecker:
    """Checks logs against each other. Owns every entry that any log has held."""

    def __init__(self, disks: DiskChecker, members: MembershipChecker, commits: CommitChecker) -> None:
        self._disks = disks
        self._members = members
        self._commits = commits
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        """Entry and term of its predecessor, by index and term."""

    def check_append_only(self, before: Observation, now: Observation, changed_from: int) -> None:
        """Leader Append-Only: a leader never overwrites or deletes entries in its log (§5.3)."""
        if before.is_leader and now.is_leader and before.term == now.term and changed_from <= before.last_index:
            raise Violation(
                LEADER_APPEND_ONLY, f"{now.node} leads term {now.term} and changed its entry {changed_from}", now.node
            )

    def check_matching(self, now: Observation, changed_from: int) -> None:
        """Log Matching: entries of the same index and term are equal, and so are all that precede them (§5.3).

        By induction, it suffices that such entries are equal and their predecessors have equal terms.
        """
        previous_term = now.term_at(changed_from - 1) or 0
        for entry in now.entries[changed_from - now.first_index :]:
            known, known_previous_term = self._entries.setdefault((entry.index, entry.term), (entry, previous_term))
            if known is not entry and known != entry:
                raise Violation(
                    LOG_MATCHING, f"{now.node} holds another {describe_entry(entry)} than other nodes", now.node
                )
            if known_previous_term != previous_term:
                raise Violation(
                    LOG_MATCHING,
                    f"{now.node} holds an entry of term {previous_term} before {describe_entry(entry)}, "
                    f"other nodes one of term {known_previous_term}",
                    now.node,
                )
            if previous_term > entry.term:
                raise Violation(LOG_MATCHING, f"{now.node}: terms decrease before {describe_entry(entry)}", now.node)
            if entry.kind is EntryKind.CONFIGURATION:
                self._members.check_overlap(now, entry)
            previous_term = entry.term

    def check_base(self, now: Observation) -> None:
        """Check that compacted entries are committed, and covered by the snapshot (§7)."""
        base_index = now.first_index - 1
        if not base_index:
            return
        if now.snapshot is None or base_index > now.snapshot.index:
            raise Violation(
                COMPACTION,
                f"{now.node}'s log begins after entry {base_index}, its snapshot is {now.snapshot}",
                now.node,
            )
        committed = self._commits.at(base_index)
        if committed is None or committed.entry.term != now.previous_term:
            raise Violation(
                LOG_MATCHING,
                f"{now.node}'s log begins after entry {base_index} of term {now.previous_term}, which is not committed",
                now.node,
            )

    def check_match_index(self, leader: Observation) -> None:
        """Check that a leader's matchIndex of each follower is true of the follower's disk (Figure 2)."""
        for follower, index in leader.match_index.items():
            if not index:
                continue
            disk = self._disks.disk(*follower)
            if disk.hard_state.current_term != leader.term:
                continue  # a follower in a newer term may have replaced the entry since
            own = leader.entry_at(index)
            term = disk.term_at(index) if own is None else own.term
            if index > leader.last_index or not disk.holds(index, -1 if term is None else term):
                raise Violation(
                    MATCH_INDEX,
                    f"{leader.node} leads term {leader.term} and has matchIndex {index} for {follower[0]}, "
                    "which does not hold that entry",
                    leader.node,
                    follower[0],
                )

    def check_acknowledged(self, follower: Identity, term: int, index: int, leader: Observation | None) -> None:
        """Check that a log matches the leader's up to the index that it acknowledges. `leader` leads `term`."""
        disk = self._disks.disk(*follower)
        if not (index and leader and leader.is_leader and leader.term == term == disk.hard_state.current_term):
            return
        own, held = leader.term_at(index), disk.term_at(index)
        if index > leader.last_index or (own is not None and held is not None and own != held):
            raise Violation(
                LOG_MATCHING,
                f"{follower[0]} acknowledges that its log matches up to entry {index} of term {held}; the leader "
                f"{leader.node} has another one",
                follower[0],
                leader.node,
            )
