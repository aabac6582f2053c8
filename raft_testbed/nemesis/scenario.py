"""Scenarios: the faults of a run and their order, as a file of `inventory/scenarios` states them."""

from collections.abc import Mapping
from random import Random
from typing import Any

from raft_testbed.faults import FaultRecord

_MEMBERS = {"description", "workload", "operations_ok_min", "resources_max", "faults", "random"}
_FAULT_MEMBERS = {"fault", "target", "seconds", "options"}
_RANDOM_MEMBERS = {"seconds", "faults"}
_WORKLOAD_OPTIONS = {"clients", "readers", "rate", "keys", "mix", "timeout", "value_bytes"}
_FAULT_SECONDS_MIN = 5
"""Lower bound of the time that one fault of a random scenario takes, so that enough of them are chosen."""


class ScenarioError(ValueError):
    """A scenario is invalid. The message names the member."""


def check_scenario(scenario: Mapping[str, Any]) -> None:
    """Raise `ScenarioError` if a scenario is invalid."""
    _check_members("scenario", scenario, _MEMBERS)
    for name in ("description", "operations_ok_min"):
        if name not in scenario:
            raise ScenarioError(f"scenario: {name} is missing")
    _check_members("workload", scenario.get("workload") or {}, _WORKLOAD_OPTIONS)
    if ("faults" in scenario) == ("random" in scenario):
        raise ScenarioError("scenario: give either faults, in their order, or random")
    if "random" in scenario:
        _check_members("random", scenario["random"], _RANDOM_MEMBERS)
    faults = scenario["faults"] if "faults" in scenario else scenario["random"]["faults"]
    if not faults:
        raise ScenarioError("scenario: it has no faults")
    for fault in faults:
        _check_members(f"fault {fault}", fault, _FAULT_MEMBERS)
        if not fault.get("fault"):
            raise ScenarioError(f"fault {fault}: it has no name in `fault`")
        seconds = fault.get("seconds")
        if isinstance(seconds, list) and (len(seconds) != 2 or seconds[0] > seconds[1]):
            raise ScenarioError(f"fault {fault}: seconds is neither a number nor [least, greatest]")


def plan_faults(scenario: Mapping[str, Any], seed: int, seconds: int = 0) -> list[FaultRecord]:
    """Return the records of the faults to inject, in order; the same for the same seed.

    `seconds` overrides the duration of a random scenario, which gets more faults than fit into it. Raise
    `ScenarioError` if the scenario is invalid.
    """
    check_scenario(scenario)
    rng = Random(f"steps {seed}")
    if "faults" in scenario:
        chosen = scenario["faults"]
    else:
        duration = int(seconds) or scenario["random"]["seconds"]
        chosen = rng.choices(scenario["random"]["faults"], k=max(1, int(duration) // _FAULT_SECONDS_MIN))
    return [
        FaultRecord(
            fault=fault["fault"],
            target=fault.get("target", ""),
            seconds=_choose_seconds(fault.get("seconds"), rng),
            options=dict(fault.get("options") or {}),
            seed=f"{seed}/{number}",
        )
        for number, fault in enumerate(chosen, start=1)
    ]


def _choose_seconds(seconds: float | list[float] | None, rng: Random) -> float | None:
    return round(rng.uniform(*seconds), 3) if isinstance(seconds, list) else seconds


def _check_members(what: str, found: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(found.keys() - known)
    if unknown:
        raise ScenarioError(f"{what}: unknown member: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
