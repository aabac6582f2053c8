"""Queries over nodes' logs while a run is completed."""

import json

from raft_testbed.verdict.node_logs import log_since, properties_not_judged, state_hashes_pending
from tests.support import runs
from tests.support.runs import node_line


def text(*lines: runs.Record) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_a_log_since_a_time_keeps_the_running_incarnation_whole() -> None:
    previous = [node_line("raft-0", 1, "node_started", 0), node_line("raft-0", 2, "node_stopped", 1)]
    running = [node_line("raft-0", 3, "node_started", 0), node_line("raft-0", 4, "serving", 1)]
    later = [node_line("raft-0", 6, "became_leader", 2)]
    log = text(*previous, *running) + "torn\n" + text(*later)
    assert log_since(log, runs.ts(5)) == text(*running) + "torn\n" + text(*later)
    assert log_since(log, runs.ts(7)) == ""


def test_logs_without_the_latest_state_hash_are_named() -> None:
    first = text(node_line("raft-0", 1, "state_hash", 1, applied_index=1000, hash="a"))
    second = first + text(node_line("raft-0", 2, "state_hash", 1, applied_index=2000, hash="b")) + '{"event": "state_'
    assert state_hashes_pending({"raft-0": first, "raft-1": second}) == "raft-0 (up to 1000 of 2000)"
    assert state_hashes_pending({"raft-0": second, "raft-1": second}) == ""
    assert state_hashes_pending({}) == ""


def test_findings_without_events_are_not_judged() -> None:
    logs = [text(node_line("raft-0", 1, "vote_granted", 1)), text(node_line("raft-1", 1, "became_leader", 1))]
    assert set(properties_not_judged(logs)) == {"state machine safety", "resources"}
