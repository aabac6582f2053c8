"""The log contract: every event that a node or a client logs, as one JSON object per line on stdout.

Each line has `ts` (RFC 3339, UTC, microseconds), `node` (the name of the node or client that logs), `event` (a name of
`Event`), `term` (the node's current term, or the leader's as far as a client knows it; 0 when there is none) and the
fields of the event, documented with its name below. Playbooks and checkers rely on event names and fields, never on
prose.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol


class Event(StrEnum):
    """Names of events. Below each name: its fields, and when it is logged if the name does not say so."""

    NODE_STARTED = "node_started"
    """version, listen, http, peers {id: address}, data_dir, election_timeout_ms [minimum, maximum],
    heartbeat_interval_ms"""
    MUTANT_LOADED = "mutant_loaded"
    """mutant, description: this node runs with a deliberate bug, to test the testbed (docs/reference/faults.md)"""
    LOG_RECOVERED = "log_recovered"
    """last_log_index, voted_for, torn_bytes (length of the torn write that recovery cut off), snapshot_index (0: no
    snapshot), incarnation, voters [ids], learners [ids], outgoing [ids] (all three empty: member of no cluster yet)"""
    SERVING = "serving"
    """address (HOST:PORT on which the node accepts connections)"""
    PRE_VOTE_STARTED = "pre_vote_started"
    """votes_needed: the election timeout elapsed, and the node asks whether it could win an election; `term` is
    unchanged"""
    ELECTION_STARTED = "election_started"
    """votes_needed: the node is a candidate in `term`"""
    VOTE_GRANTED = "vote_granted"
    """candidate (the node voted for it in `term`): logged after the vote is durable"""
    BECAME_LEADER = "became_leader"
    """last_log_index, votes [ids of the voters that granted their vote]: the node leads `term`"""
    BECAME_FOLLOWER = "became_follower"
    """leader (null: not known yet), reason: the node is no longer a candidate or leader"""
    LEADER_CHANGED = "leader_changed"
    """leader (null: unknown): the leader that this node follows in `term`; a leader names itself"""
    TRANSFER_STARTED = "transfer_started"
    """target: the leader transfers leadership, and accepts no commands meanwhile"""
    TRANSFER_ABORTED = "transfer_aborted"
    """target: it was not elected in time, and the leader continues"""
    CONFIGURATION_CHANGED = "configuration_changed"
    """index (of its log entry or snapshot), voters [ids], learners [ids], outgoing [ids] (voters of the old
    configuration during joint consensus): effective on this node from now on, committed or not"""
    CONFIGURATION_COMMITTED = "configuration_committed"
    """index: the leader committed the newest configuration, either the first one or the final one of a membership
    change; logged again by a new leader that cannot know whether it was committed before"""
    CONFIGURATION_CHANGE_FAILED = "configuration_change_failed"
    """reason: the leader abandoned a membership change, and the configuration is unchanged"""
    SNAPSHOT_TAKEN = "snapshot_taken"
    """index (last index that the snapshot replaces), bytes, first_log_index (oldest index left in the log)"""
    SNAPSHOT_INSTALLED = "snapshot_installed"
    """index, bytes: the leader's snapshot replaced the node's log and state"""
    STATE_HASH = "state_hash"
    """applied_index, hash (hex digest of all entries applied up to that index, and of their results): logged at every
    1000th index, when a node becomes idle, and for each snapshot taken or installed; nodes must agree at each index"""
    RESOURCES_USED = "resources_used"
    """resident_bytes, open_files (null: unknown on this system), data_bytes (on disk): logged every 15 seconds"""
    PEER_CONNECTED = "peer_connected"
    """peer, address (IP:PORT to which the peer's name resolved)"""
    PEER_DISCONNECTED = "peer_disconnected"
    """peer, reason"""
    STORAGE_FAILED = "storage_failed"
    """error (names file and offset): the node stops"""
    INVARIANT_VIOLATED = "invariant_violated"
    """error: a safety property of the paper is violated, and the node stops"""
    NODE_STOPPED = "node_stopped"
    """reason"""

    CLIENT_STARTED = "client_started"
    """endpoints [HOST:PORT], run_id"""
    LEADER_FOUND = "leader_found"
    """leader, address"""
    OPERATION = "operation"
    """time, process, type, f, key, value, error?, n?: a line of the history (docs/reference/history.md)"""
    WORKLOAD_STARTED = "workload_started"
    """n, endpoints [HOST:PORT], run_id (prefix of every key), clients, readers, rate, duration_seconds, keys, seed,
    mix {function: weight}, value_bytes, timeout_seconds; `n` numbers the lines of a workload from 0"""
    FINAL_READS_STARTED = "final_reads_started"
    """n, keys: clients start no more operations, and each key is read once more"""
    WRITE_ACKNOWLEDGED = "write_acknowledged"
    """key, value, index (log index at which the write was applied)"""
    READ_VERIFIED = "read_verified"
    """key, value (read back, and as expected)"""
    READ_MISMATCH = "read_mismatch"
    """key, expected, actual (null: no such key)"""
    WORKLOAD_FINISHED = "workload_finished"
    """ok, failed, unknown (numbers of operations), seconds, exit_status. From `raftctl client` also mismatches (values
    that were not as expected). From `raftctl workload` also n, cas_mismatches (compare-and-sets that found another
    value), final_reads (whether all keys were read at the end; null: no final reads), interrupted (name of the signal;
    null: not interrupted)"""


class LineStream(Protocol):
    """The part of a text file that `EventLog` uses."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class EventLog:
    """Writes the events of one node or client to a stream, by default stdout. Each line is flushed."""

    def __init__(self, node: str, stream: LineStream | None = None) -> None:
        self.node = node
        self.term = 0
        """The greatest term logged so far."""
        self._stream: LineStream = stream if stream is not None else sys.stdout

    def emit(self, event: Event, term: int | None = None, **fields: Any) -> None:
        """Log an event. `term` defaults to the greatest term logged so far; `fields` are JSON values."""
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
