"""Directories of runs as the testbed writes them: three nodes, one workload and one fault, with optional changes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from raft_testbed.history import Operation
from raft_testbed.timestamps import format_timestamp
from tests.support.histories import Generator, history_lines

START = 1_800_000_000
"""Start of every run, in seconds since 1970."""
SECONDS = 20.0
NODES = ("raft-0", "raft-1", "raft-2")
Record = dict[str, Any]


def ts(seconds: float) -> str:
    """Return the time `seconds` after the start, as RFC 3339."""
    return format_timestamp(START + seconds)


def node_line(node: str, at: float, event: str, term: int, **fields: Any) -> Record:
    return {"ts": ts(at), "node": node, "event": event, "term": term, **fields}


def operations(count: int = 2000, seed: int = 1) -> list[Operation]:
    """Return operations spread evenly over the run, with a gap of half a second after the leader is killed."""
    history = Generator(seed, count, clients=4, keys=2).run()
    end = max(operation.completed or operation.invoked for operation in history) + 1
    for operation in history:
        operation.invoked_at = _moment(operation.invoked / end)
        operation.completed_at = _moment(operation.completed / end) if operation.completed is not None else 0
    return history


def _moment(share: float) -> int:
    at = share * (SECONDS - 0.5)
    return int((START + at + (0.5 if at > 5.0 else 0.0)) * 1e9)


def client_lines(history: Iterable[Operation], *, final_reads: bool | None = True) -> list[Record]:
    """Return the lines of a workload's log."""
    records = [json.loads(line) for line in history_lines(history)]
    lines = [{"event": "workload_started", "ts": ts(0)}, *({"event": "operation", **record} for record in records)]
    lines.append({"event": "final_reads_started", "ts": ts(SECONDS)})
    lines.append({"event": "workload_finished", "ts": ts(SECONDS), "final_reads": final_reads})
    return [{**line, "n": number} for number, line in enumerate(lines)]


def node_lines() -> dict[str, list[Record]]:
    """Return the nodes' logs: raft-0 leads term 1 and is killed at 5 s, raft-1 leads term 2, raft-0 restarts at 8 s."""
    logs: dict[str, list[Record]] = {}
    for node in NODES:
        logs[node] = [
            node_line(node, -1.0, "node_started", 0),
            node_line(node, -0.9, "log_recovered", 0, last_log_index=0),
            node_line(node, -0.9, "serving", 0),
            node_line(node, -0.6, "vote_granted", 1, candidate="raft-0"),
        ]
    logs["raft-0"].append(node_line("raft-0", -0.5, "became_leader", 1, votes=["raft-0", "raft-1"]))
    for node in ("raft-1", "raft-2"):
        logs[node] += [
            node_line(node, -0.4, "leader_changed", 1, leader="raft-0"),
            node_line(node, 5.3, "vote_granted", 2, candidate="raft-1"),
        ]
    logs["raft-1"] += [
        node_line("raft-1", 5.2, "election_started", 2),
        node_line("raft-1", 5.4, "became_leader", 2, votes=["raft-1", "raft-2"]),
    ]
    logs["raft-2"].append(node_line("raft-2", 5.45, "leader_changed", 2, leader="raft-1"))
    logs["raft-0"] += [
        node_line("raft-0", 8.0, "node_started", 0),
        node_line("raft-0", 8.1, "log_recovered", 1, last_log_index=700),
        node_line("raft-0", 8.2, "serving", 1),
        node_line("raft-0", 8.3, "leader_changed", 2, leader="raft-1"),
    ]
    for node in NODES:
        logs[node].append(
            node_line(node, 0.0, "resources_used", 1, resident_bytes=1 << 20, open_files=20, data_bytes=0)
        )
        for index in (1000, 2000):
            logs[node].append(node_line(node, index / 100, "state_hash", 2, applied_index=index, hash=f"{index:x}"))
        logs[node].sort(key=lambda record: record["ts"])
    return logs


def fault(**changes: Any) -> Record:
    return {
        "fault": "process_killed",
        "targets": ["raft-0"],
        "injected_at": ts(5.0),
        "healed_at": ts(8.0),
        "recovered_at": ts(8.4),
        "skipped": None,
        "unavailability_slo_seconds": 0.9,
        "evidence": [{"expected": "another leader", "observed": "raft-0 in term 1, raft-1 in term 2", "holds": True}],
        **changes,
    }


def write_run(
    directory: Path,
    *,
    history: list[Record] | None = None,
    logs: dict[str, list[Record]] | None = None,
    faults: list[Record] | None = None,
    change: Callable[[Record], None] = lambda _description: None,
) -> Path:
    """Write the directory of a run that is ok except for the given parts."""
    description: Record = {
        "format": 1,
        "name": "smoke",
        "platform": "local",
        "seed": 7,
        "started": ts(0),
        "ended": ts(SECONDS),
        "nodes": list(NODES),
        "versions": {"raft_pkg": "0.1.0"},
        "configuration": {"election_timeout_ms_max": 300},
        "operations_ok_min": 1000,
        "resources_max": {"resident_mib": 16, "open_files": 20},
    }
    change(description)
    (directory / "logs").mkdir(parents=True)
    (directory / "run.json").write_text(json.dumps(description))
    _write(directory / "history.jsonl", client_lines(operations()) if history is None else history)
    _write(directory / "faults.jsonl", [fault()] if faults is None else faults)
    for node, lines in (node_lines() if logs is None else logs).items():
        _write(directory / "logs" / f"{node}.log", lines)
    return directory


def stale_history() -> list[Operation]:
    """Return a history in which one read returns an overwritten value."""
    history = operations()
    reads = [o for o in history if o.f == "read" and o.outcome == "ok" and o.output is not None]
    stale = reads[len(reads) // 2]
    stale.output = next(o.output for o in reads if o.key == stale.key and o.output != stale.output)
    return history


def _write(path: Path, lines: Iterable[Record]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
