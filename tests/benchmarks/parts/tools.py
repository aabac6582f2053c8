"""Speed of the simulator and of the checker (target 10)."""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.benchmarks.processes import run
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RAFTCTL

CLIENTS, KEYS = 16, 20
SECONDS_MAX = 900


def tools(session: Session) -> None:
    """Measure `raftctl simulate` and `raftctl check`."""
    seeds = session.extent.simulated_seeds
    simulated = json.loads(run([*RAFTCTL, "simulate", "--seeds", f"0:{seeds}", "--nodes", "5", "--json"], SECONDS_MAX))
    numbers = {name: simulated[name] for name in ("seeds_done", "seconds", "seeds_per_minute", "steps_per_second")}
    session.record("tools", "raftctl simulate", 1, **numbers)
    session.log(f"tools: {numbers['seeds_per_minute']:,.0f} seeds per minute")

    history = session.directory / "history.jsonl"
    with history.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in linearizable_history(session.extent.checked_operations))
    checked = json.loads(run([*RAFTCTL, "check", str(history), "--json"], SECONDS_MAX))
    numbers = {name: checked[name] for name in ("verdict", "operations", "seconds", "memory_mb")}
    session.record("tools", "raftctl check", 1, **numbers)
    session.log(f"tools: {numbers['operations']:,} operations checked in {numbers['seconds']:.1f} s")


def linearizable_history(operations: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a linearizable history of reads, writes and appends, in a random order of calls, effects and outcomes.

    A few operations are indeterminate, and take no effect.
    """
    rng = random.Random(seed)
    state: dict[str, str | None] = {}
    processes = list(range(CLIENTS))
    pending: dict[int, dict[str, Any]] = {}
    calls = 0
    next_process = CLIENTS
    time = 0
    while calls < operations or pending:
        client = rng.randrange(CLIENTS)
        process = processes[client]
        time += 1_000
        if process not in pending:
            if calls < operations:
                calls += 1
                pending[process] = call = _call(rng, process, calls)
                yield {"time": time, "type": "invoke", **call}
            continue
        call = pending[process]
        if "outcome" not in call:
            call["outcome"] = _take_effect(call, state) if rng.random() > 0.001 else {"type": "info"}
            continue
        outcome = call.pop("outcome")
        del pending[process]
        yield {"time": time, **call, **outcome}
        if outcome["type"] == "info":
            processes[client], next_process = next_process, next_process + 1


def _call(rng: random.Random, process: int, number: int) -> dict[str, Any]:
    f = rng.choice(("read", "read", "write", "append"))
    value = {"read": None, "write": f"w{number}", "append": f",{number}"}[f]
    return {"process": process, "f": f, "key": f"k{rng.randrange(KEYS)}", "value": value}


def _take_effect(call: dict[str, Any], state: dict[str, str | None]) -> dict[str, Any]:
    key, value = call["key"], call["value"]
    match call["f"]:
        case "read":
            return {"type": "ok", "value": state.get(key)}
        case "write":
            state[key] = value
        case "append":
            state[key] = (state.get(key) or "") + value
    return {"type": "ok"}
