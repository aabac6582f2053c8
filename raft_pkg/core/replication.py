"""The leader's side of replication: entries, snapshots and heartbeats to followers (paper §5.3, §5.4.2, §7)."""

from collections.abc import Iterable

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.errors import InvariantError
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
)
from raft_pkg.core.progress import Progress
from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.core.state import RaftState
from raft_pkg.core.types import SnapshotMetadata


class Replication:
    """Owns the leader's `Progress` of each follower and the heartbeat timer."""

    def __init__(self, state: RaftState, configuration: EffectiveConfiguration, log: ReplicatedLog) -> None:
        self._state = state
        self._configuration = configuration
        self._log = log
        self.progress: dict[str, Progress] = {}
        """By follower; empty unless this node leads."""
        self.heartbeat_due = False
        self.next_heartbeat = state.now
        """When the heartbeat timer expires, in seconds."""

    # --- leadership -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to replicate as the leader of a new term."""
        self.progress = {}
        self.track_followers()
        self.heartbeat()

    def stop(self) -> None:
        """Stop replicating: this node no longer leads."""
        self.progress = {}

    def heartbeat(self) -> None:
        """Let the next `send` be a heartbeat, and restart the heartbeat timer."""
        self.request_heartbeat()
        self.next_heartbeat = self._state.now + self._state.config.heartbeat_interval

    def request_heartbeat(self) -> None:
        """Let the next `send` be a heartbeat."""
        self.heartbeat_due = True

    def track_followers(self) -> None:
        """Replicate to the members of the effective configuration only; discard the progress of old incarnations."""
        before, self.progress = self.progress, {}
        for peer in self._configuration.peers:
            progress, incarnation = before.get(peer), self._configuration.incarnations[peer]
            if progress is None or progress.incarnation != incarnation:
                progress = Progress(self._state.log.last_index + 1, self._state.now, incarnation=incarnation)
            self.progress[peer] = progress

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, *, heartbeat_all: bool, read_round: int) -> None:
        """Send what followers lack, and heartbeats to those that get nothing else if `heartbeat_all`."""
        for peer, progress in self.progress.items():
            if self.heartbeat_due:
                progress.heartbeat()
            if not self._send_appends(peer, progress, read_round) and heartbeat_all:
                self._send_heartbeat(peer, progress, read_round)
        self.heartbeat_due = False

    def _send_appends(self, peer: str, progress: Progress, read_round: int) -> bool:
        log = self._state.log
        if progress.next_index <= log.base_index or progress.snapshot is not None:
            if self._state.snapshot is None:
                raise InvariantError(
                    f"{self._state.node_id} leads, and has neither entry {progress.next_index} nor a snapshot"
                )
            progress.begin_snapshot(self._state.snapshot)
            return self._send_chunk(peer, progress, read_round)
        sent = False
        in_flight_max = self._state.config.appends_in_flight_max
        while progress.next_index <= log.last_index and progress.may_send(in_flight_max):
            body = self._append_entries(progress, read_round, self._state.config.append_bytes_max)
            self._send_early(peer, body)
            progress.sent(body.entries[-1].index)
            sent = True
        return sent

    def _send_chunk(self, peer: str, progress: Progress, read_round: int) -> bool:
        """Send the next chunk of the snapshot, unless one is in flight. Return whether it was sent."""
        if progress.snapshot is None or progress.chunk_in_flight:
            return False
        progress.chunk_sent()
        body = self._install_snapshot(progress.snapshot, progress, read_round)
        self._state.ready.snapshot_messages.append((self._message(peer, body), body))
        return True

    def _send_heartbeat(self, peer: str, progress: Progress, read_round: int) -> None:
        if progress.snapshot is None:
            self._send_early(peer, self._append_entries(progress, read_round, 0))
        else:
            self._send_early(peer, self._install_snapshot(progress.snapshot, progress, read_round))

    def _append_entries(self, progress: Progress, read_round: int, bytes_max: int) -> AppendEntries:
        """Return a request with the follower's next entries, with none if `bytes_max` is 0."""
        state, prev_log_index = self._state, progress.next_index - 1
        prev_log_term = state.log.term_at(prev_log_index)
        if prev_log_term is None:
            raise InvariantError(f"{state.node_id} leads and lacks entry {prev_log_index} of its own log")
        return AppendEntries(
            prev_log_index,
            prev_log_term,
            state.log.slice_bytes(progress.next_index, bytes_max),
            state.commit_index,
            read_round,
            leased=state.config.lease_reads,
        )

    def _install_snapshot(self, snapshot: SnapshotMetadata, progress: Progress, read_round: int) -> InstallSnapshot:
        """Return a request for the follower's next chunk, without its data."""
        leased = self._state.config.lease_reads
        return InstallSnapshot(snapshot, progress.snapshot_offset, b"", read_round, leased=leased)

    def _send_early(self, peer: str, body: Body) -> None:
        self._state.ready.early_messages.append(self._message(peer, body))

    def _message(self, peer: str, body: Body) -> Message:
        return self._state.message(peer, self._configuration.incarnations[peer], body)

    # --- replies ----------------------------------------------------------------------------------------------------

    def record_contact(self, follower: str, read_round: int) -> None:
        """Record the contact with a follower, and the newest round of heartbeats that it has acknowledged."""
        progress = self.progress[follower]
        progress.last_contact = self._state.now
        progress.read_round = max(progress.read_round, read_round)

    def handle_append_entries_reply(self, follower: str, reply: AppendEntriesReply) -> bool:
        """Update the follower's progress. Return whether the request succeeded."""
        progress = self.progress[follower]
        if reply.success:
            progress.matched(reply.match_index)
        elif not progress.is_stale_rejection(reply.rejected_index):
            progress.rejected(self._back_up(reply))
        return reply.success

    def handle_install_snapshot_reply(self, follower: str, reply: InstallSnapshotReply) -> bool:
        """Update the follower's progress. Return whether it now has the whole snapshot."""
        progress = self.progress[follower]
        is_complete = progress.chunk_acknowledged(reply.index, reply.next_offset)
        if is_complete:
            progress.matched(reply.index)
        return is_complete

    def _back_up(self, reply: AppendEntriesReply) -> int:
        """Return the nextIndex to try after a rejection (§5.3)."""
        last_of_term = self._state.log.last_index_of_term(reply.conflict_term) if reply.conflict_term else None
        candidate = reply.conflict_index if last_of_term is None else last_of_term + 1
        return min(candidate, reply.rejected_index)

    def advance_commit_index(self) -> bool:
        """Commit the highest index that a quorum has on disk, if its entry is of the current term (§5.4.2, Figure 8).

        Return whether the commit index advanced.
        """
        state = self._state
        majority_index = self._configuration.reached_by_quorum(
            self._log.durable_index, {peer: progress.match_index for peer, progress in self.progress.items()}
        )
        if majority_index <= state.commit_index or state.log.term_at(majority_index) != state.current_term:
            return False
        state.commit_index = majority_index
        return True

    # --- what the leader knows of its followers -----------------------------------------------------------------------

    def acknowledged_round(self, newest_round: int) -> int:
        """Return the newest round of heartbeats that a quorum has acknowledged."""
        return self._configuration.reached_by_quorum(
            newest_round, {peer: progress.read_round for peer, progress in self.progress.items()}
        )

    def has_lost_quorum(self) -> bool:
        """Return whether no quorum has replied for an election time-out (dissertation §6.2)."""
        now = self._state.now
        quorum_contact = self._configuration.reached_by_quorum(
            now, {peer: progress.last_contact for peer, progress in self.progress.items()}
        )
        return now - quorum_contact > self._state.config.election_timeout_max

    def is_up_to_date(self, follower: str) -> bool:
        """Return whether a follower has the whole log."""
        return self.progress[follower].match_index == self._state.log.last_index

    def most_up_to_date(self, followers: Iterable[str]) -> str:
        """Return the follower with the highest matchIndex."""
        return max(followers, key=lambda follower: self.progress[follower].match_index)

    def is_unresponsive(self, follower: str) -> bool:
        """Return whether a follower has not replied for an election time-out."""
        return self._state.now - self.progress[follower].last_contact > self._state.config.election_timeout_max

    def responsive_members(self) -> set[str]:
        """Return this node and the followers that accept its entries: a new follower must first have shown that."""
        return {self._state.node_id} | {peer for peer in self.progress if self._is_responsive(peer)}

    def _is_responsive(self, follower: str) -> bool:
        return self.progress[follower].match_index > 0 and not self.is_unresponsive(follower)

    def missing_entries(self, follower: str) -> int:
        """Return how many entries a follower lacks."""
        return self._state.log.last_index - self.progress[follower].match_index

    def has_caught_up(self, learner: str) -> bool:
        """Return whether a learner would not delay commits as a voter (dissertation §4.2.1)."""
        missing = self.missing_entries(learner)
        return missing <= self._state.config.appends_in_flight_max and self._is_responsive(learner)

    def is_sending_snapshot(self) -> bool:
        """Return whether a responsive follower is receiving the newest snapshot."""
        contact_after = self._state.now - self._state.config.election_timeout_max
        return any(p.snapshot is not None and p.last_contact > contact_after for p in self.progress.values())
