"""Scenarios: which are valid, and which faults a seed chooses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from raft_testbed.nemesis.catalogue import CATALOGUE
from raft_testbed.nemesis.scenario import ScenarioError, plan_faults
from raft_testbed.nemesis.view import TARGETS

SCENARIOS = sorted((Path(__file__).parents[3] / "inventory" / "scenarios").glob("*.yml"))


def read(name: str) -> dict[str, Any]:
    (path,) = (path for path in SCENARIOS if path.stem == name)
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def minimal(**members: Any) -> dict[str, Any]:
    return {"description": "d", "operations_ok_min": 1, "faults": [{"fault": "kill"}], **members}


@pytest.mark.parametrize("name", [path.stem for path in SCENARIOS])
def test_every_scenario_names_existing_faults_targets_and_options(name: str) -> None:
    records = plan_faults(read(name), seed=1)
    assert records
    for record in records:
        assert record.fault in CATALOGUE
        assert record.target in {"", *TARGETS}
        assert record.options.keys() <= CATALOGUE[record.fault].defaults.keys(), record


def test_the_tour_has_every_fault() -> None:
    assert {record.fault for record in plan_faults(read("tour"), seed=1)} == set(CATALOGUE)


def test_the_same_seed_plans_the_same_faults_and_another_seed_others() -> None:
    scenario = read("random")
    assert plan_faults(scenario, 7) == plan_faults(scenario, 7)
    assert plan_faults(scenario, 7) != plan_faults(scenario, 8)


def test_a_longer_random_run_starts_with_the_faults_of_a_shorter_one() -> None:
    scenario = read("random")
    short = [record.fault for record in plan_faults(scenario, 7, 60)]
    assert len(short) == 12
    assert [record.fault for record in plan_faults(scenario, 7, 600)][: len(short)] == short


def test_seconds_of_zero_are_kept() -> None:
    (record,) = plan_faults(minimal(faults=[{"fault": "kill", "seconds": 0}]), 1)
    assert record.seconds == 0
    assert record.to_json()["seconds"] == 0


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (minimal(unknown=1), "unknown member: unknown"),
        (minimal(faults=[]), "no faults"),
        (minimal(random={"seconds": 1, "faults": []}), "either"),
        (minimal(faults=[{"target": "leader"}]), "no name"),
        (minimal(faults=[{"fault": "kill", "duration": 1}]), "unknown member: duration"),
        (minimal(faults=[{"fault": "kill", "seconds": [3, 1]}]), r"neither a number nor \[least, greatest\]"),
        (minimal(workload={"speed": 1}), "unknown member: speed"),
        ({"faults": [{"fault": "kill"}], "description": "d"}, "operations_ok_min is missing"),
    ],
)
def test_an_invalid_scenario_is_rejected_with_the_member(scenario: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        plan_faults(scenario, 1)
