"""The follower's side of replication: AppendEntries and InstallSnapshot (paper §5.3, §7, Figures 2 and 13)."""

from raft_pkg.core.messages import AppendEntries, AppendEntriesReply, InstallSnapshot, InstallSnapshotReply, Message
from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.core.snapshot_receiver import SnapshotReceiver
from raft_pkg.core.state import RaftState


class Follower:
    """Stores what the leader of the current term sends; owns the snapshot that is being received."""

    def __init__(self, state: RaftState, log: ReplicatedLog) -> None:
        self._state = state
        self._log = log
        self._receiver = SnapshotReceiver()

    def handle_append_entries(self, message: Message, request: AppendEntries) -> None:
        """Append the entries if the log matches before them, and reply."""
        state = self._state
        entries, prev_log_index = request.entries, request.prev_log_index
        if prev_log_index < state.log.base_index:
            # Compacted entries are committed, so they match.
            entries = entries[state.log.base_index - prev_log_index :]
        else:
            found_term = state.log.term_at(prev_log_index)
            if found_term != request.prev_log_term:
                state.reply(message, self._rejection(request, found_term))
                return
        self._log.store(entries)
        last_new_index = max(prev_log_index + len(request.entries), state.log.base_index)
        state.commit_index = max(state.commit_index, min(request.leader_commit, last_new_index))
        state.reply(message, AppendEntriesReply(True, match_index=last_new_index, read_round=request.read_round))

    def _rejection(self, request: AppendEntries, found_term: int | None) -> AppendEntriesReply:
        """Return a reply that lets the leader skip a whole term of conflicting entries at once (§5.3)."""
        log = self._state.log
        if found_term is None:
            conflict_term, conflict_index = 0, log.last_index + 1
        else:
            conflict_term, conflict_index = found_term, log.first_index_of_term_at(request.prev_log_index)
        return AppendEntriesReply(
            success=False,
            rejected_index=request.prev_log_index,
            conflict_term=conflict_term,
            conflict_index=conflict_index,
            read_round=request.read_round,
        )

    def handle_install_snapshot(self, message: Message, request: InstallSnapshot) -> None:
        """Store a chunk, install the snapshot when it is complete, and reply."""
        state, metadata = self._state, request.metadata
        if metadata.index <= state.commit_index or state.log.term_at(metadata.index) == metadata.term:
            # The log holds all that the snapshot covers, so that much of it is committed (§5.3, Log Matching).
            self._receiver.reset()
            state.commit_index = max(state.commit_index, metadata.index)
            next_offset = metadata.size
        else:
            next_offset = self._store_chunk(request)
        state.reply(message, InstallSnapshotReply(metadata.index, next_offset, request.read_round))

    def _store_chunk(self, request: InstallSnapshot) -> int:
        """Store the chunk if it is the next one. Return the offset up to which this node has the snapshot."""
        chunk = self._receiver.accept(request)
        if chunk is not None:
            self._state.ready.chunks.append(chunk)
            if chunk.is_last:
                self._receiver.reset()
                self._log.install(chunk.metadata)
                return chunk.metadata.size
        return self._receiver.next_offset(request.metadata)
