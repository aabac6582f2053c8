"""The role chaos without a cluster: its filters, and what it knows of other systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raft_testbed.nemesis.catalogue import CATALOGUE
from tests.ansible.plugins import ROOT, load_plugin

chaos = load_plugin("filter", "chaos")
SYSTEMS = sorted((ROOT / "inventory" / "systems").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


def test_planned_faults_are_json_objects_with_their_own_seeds() -> None:
    scenario = {"description": "d", "operations_ok_min": 1, "faults": [{"fault": "kill"}, {"fault": "pause"}]}
    assert chaos.chaos_faults(scenario, 7) == [{"fault": "kill", "seed": "7/1"}, {"fault": "pause", "seed": "7/2"}]


def test_the_workload_gets_its_seed_and_keys_of_its_own() -> None:
    arguments = chaos.workload_arguments({"clients": 3, "value_bytes": 10}, 7, "run-1", 60)
    assert {"--clients=3", "--value-bytes=10", "--seed=7", "--run-id=run-1", "--duration=0"} <= set(arguments)


def test_evidence_that_does_not_hold_is_in_capitals() -> None:
    record = {
        "fault": "kill",
        "targets": ["raft-0"],
        "term_before": 1,
        "term_after": 1,
        "evidence": [{"expected": "a later term", "holds": False, "observed": "the same"}],
    }
    assert chaos.evidence_lines(record) == [
        "kill of raft-0: term 1 to 1",
        "NOT OBSERVED: a later term (the same)",
    ]


def test_nodes_whose_newest_state_hash_is_missing_are_named(tmp_path: Path) -> None:
    logs = [tmp_path / f"raft-{number}.log" for number in range(3)]
    for log in logs:
        log.write_bytes(line(event="state_hash", applied_index=7, hash="a") + b'{"event": "state_hash", "appl')
    names = [str(log) for log in logs]
    assert chaos.hashes_pending(names) == ""
    with logs[1].open("ab") as log:
        log.write(b"\n" + line(event="state_hash", applied_index=9, hash="b"))
    assert chaos.hashes_pending(names) == f"{names[0]} (up to 7 of 9), {names[2]} (up to 7 of 9)"
    assert chaos.hashes_pending([]) == ""


def test_a_property_without_any_log_event_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text('{"event": "vote_granted"}\n')
    (tmp_path / "b.log").write_text('{"event": "became_leader"}\n')
    logs = [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    assert set(chaos.chaos_not_judged(logs)) == {"state machine safety", "resources"}
    assert set(chaos.chaos_not_judged(logs[1:])) == {"state machine safety", "resources", "votes"}


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_a_system_has_the_name_of_its_file_and_skips_existing_faults(path: Path) -> None:
    system = read(path)
    assert system["system_name"] == path.stem
    assert set(system.get("system_faults_skipped", {})) <= set(CATALOGUE)
    for name in system.get("system_inputs", []):
        assert (ROOT / name).exists()
    own = {"raft_election_timeout_ms_min", "raft_election_timeout_ms_max", "raft_heartbeat_interval_ms"}
    inputs = read(ROOT / "roles" / "system" / "defaults" / "main.yml")
    assert set(system) <= own | set(inputs)
