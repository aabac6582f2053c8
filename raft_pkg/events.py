"""The log contract: every event that a node or a client logs, one JSON object a line on stdout.

Each line has `ts` (RFC 3339, UTC, microseconds), `node` (who logs), `event` (a name of `Event`), `term` (the node's
current term, or the leader's as a client knows it; 0 when there is none) and the event's own fields, which are listed
beside its name below. Playbooks and checkers rely on these names and fields, never on prose.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol


class Event(StrEnum):
    """Names of events; under each, its fields."""

    NODE_STARTED = "node_started"
    """version, listen, http, peers {id: address}, data_dir, election_timeout_ms [least, greatest],
    heartbeat_interval_ms"""
    MUTANT_PLANTED = "mutant_planted"
    """mutant, breaks; this node is broken on purpose, to show that the testbed notices (docs/reference/faults.md): no Raft"""
    LOG_RECOVERED = "log_recovered"
    """last_log_index, voted_for, torn_bytes (cut off the end: a record that a crash had torn), snapshot_index (0: there
    is none), incarnation, voters [ids], learners [ids], outgoing [ids] (all empty: it belongs to no cluster yet)"""
    SERVING = "serving"
    """address (HOST:PORT on which the node takes connections)"""
    PRE_VOTE_STARTED = "pre_vote_started"
    """votes_needed; the node misses its leader and asks whether an election could be won; its term stays"""
    ELECTION_STARTED = "election_started"
    """votes_needed; the node is a candidate in `term`"""
    VOTE_GRANTED = "vote_granted"
    """candidate (who got this node's vote in `term`; on disk before this is logged)"""
    BECAME_LEADER = "became_leader"
    """last_log_index, votes [ids of those who voted for it]; the node leads `term`"""
    BECAME_FOLLOWER = "became_follower"
    """leader (null: not known yet), reason; the node is no longer candidate or leader"""
    LEADER_CHANGED = "leader_changed"
    """leader (null: none is known); whom this node follows in `term`; a leader names itself"""
    TRANSFER_STARTED = "transfer_started"
    """target; the leader hands over, and takes no commands meanwhile"""
    TRANSFER_ENDED = "transfer_ended"
    """target; it did not take over in time, and the leader goes on"""
    CONFIGURATION_CHANGED = "configuration_changed"
    """index (of the log entry or snapshot that it is from), voters [ids], learners [ids], outgoing [ids] (voters of the
    old configuration, while both decide together); the node goes by it from now on, committed or not"""
    MEMBERS_CHANGED = "members_changed"
    """index; a leader has committed the newest configuration: the first one, or that which ends a change of members;
    told again by a leader that can't know that it was committed before"""
    MEMBERS_CHANGE_FAILED = "members_change_failed"
    """reason; the leader could not make a change of members, and nothing was changed"""
    SNAPSHOT_TAKEN = "snapshot_taken"
    """index (last one that it stands for), bytes, first_log_index (oldest one that the log still has)"""
    SNAPSHOT_INSTALLED = "snapshot_installed"
    """index, bytes; the leader's snapshot has replaced this node's log and state"""
    STATE_HASH = "state_hash"
    """applied_index, hash (hex: a digest of all that was applied up to that entry, and of what came of it); at every
    1000th index, and where a node comes to rest, so that nodes can be compared; and of snapshots taken or installed"""
    RESOURCES_USED = "resources_used"
    """resident_bytes, open_files (null: not known on this system), data_bytes (on disk); every 15 seconds"""
    PEER_CONNECTED = "peer_connected"
    """peer, address (IP:PORT that the peer's name stood for)"""
    PEER_DISCONNECTED = "peer_disconnected"
    """peer, reason"""
    STORAGE_FAILED = "storage_failed"
    """error (names file and offset); the node stops serving"""
    INVARIANT_VIOLATED = "invariant_violated"
    """error; a safety property of the paper does not hold, and the node stops"""
    NODE_STOPPED = "node_stopped"
    """reason"""

    CLIENT_STARTED = "client_started"
    """endpoints [HOST:PORT], run_id"""
    LEADER_FOUND = "leader_found"
    """leader, address"""
    OPERATION = "operation"
    """time, process, type, f, key, value, error?, n?: a line of the history (see docs/reference/history.md)"""
    WORKLOAD_STARTED = "workload_started"
    """n, endpoints [HOST:PORT], run_id (beginning of every key), clients, readers, rate, duration_seconds, keys,
    seed, mix {function: weight}, value_bytes, timeout_seconds; `n` numbers all lines of a workload from 0"""
    FINAL_READS_STARTED = "final_reads_started"
    """n, keys; clients began no more operations, and every key is read once more"""
    WRITE_ACKNOWLEDGED = "write_acknowledged"
    """key, value, index (log index at which it was applied)"""
    READ_VERIFIED = "read_verified"
    """key, value (read back, and as expected)"""
    READ_MISMATCH = "read_mismatch"
    """key, expected, actual (null: no such key)"""
    WORKLOAD_FINISHED = "workload_finished"
    """ok, failed, unknown (numbers of operations), seconds, exit_status; of `raftctl client` also mismatches (values
    that were not as they must be), of `raftctl workload` also n, cas_mismatches (cas that found another value),
    final_reads (whether every key was read in the end; null: it did not come to that), interrupted (by which signal;
    null: by none)"""


class LineStream(Protocol):
    """Where lines go: any text file, or what stands for several."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class EventLog:
    """Writes events of one node or client, a line each, flushed at once."""

    def __init__(self, node: str, stream: LineStream | None = None) -> None:
        self.node = node
        self.term = 0
        """The newest term that was logged."""
        self._stream: LineStream = stream if stream is not None else sys.stdout

    def emit(self, event: Event, term: int | None = None, **fields: Any) -> None:
        """Log one event, in the newest term where none is given; `fields` are JSON values."""
        if term is not None:
            self.term = max(self.term, term)
        line: Mapping[str, Any] = {
            "ts": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "node": self.node,
            "event": str(event),
            "term": self.term if term is None else term,
            **fields,
        }
        self._stream.write(json.dumps(line, ensure_ascii=False, separators=(", ", ": ")) + "\n")
        self._stream.flush()
