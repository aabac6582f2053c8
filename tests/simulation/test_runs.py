"""Whole runs: the product passes, runs are deterministic, and mutants are caught."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from raft_pkg.server.node import Node
from raft_testbed.simulation.cluster import Failure, Result, run
from raft_testbed.simulation.faults import FAULTS
from raft_testbed.simulation.parameters import NEVER, Options, draw_parameters
from raft_testbed.simulation.runner import Job
from raft_testbed.simulation.runner import simulate as simulate_in_processes
from raft_testbed.simulation.schedule import draw_schedule
from raft_testbed.simulation.shrink import shrink

MUTANTS = Path(__file__).parents[1] / "mutants"


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raft_pkg.cli", "simulate", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)


@pytest.mark.parametrize(("seed", "nodes"), [(0, 5), (1, 5), (2, 3), (3, 3), (4, 1), (5, 2)])
def test_the_product_passes(seed: int, nodes: int) -> None:
    result = run(seed, Options(nodes))
    assert result.failure is None, result.failure
    assert result.succeeded > 0
    assert not result.undecided


def test_a_run_without_faults_commits_and_elects() -> None:
    result = run(7, Options(5, faults_kept=()))
    assert (result.failure, result.faults) == (None, 0)
    assert result.leaders >= 1
    assert result.committed > 50


def test_rare_events_happen_within_a_few_seeds() -> None:
    counts: Counter[str] = Counter()
    for seed in range(12):
        counts.update(run(seed, Options(3)).counts)
    rare = (
        "configuration_committed", "request_done", "request_refused", "disk_lost", "snapshot_taken",
        "snapshot_installed", "transfer_started", "sent_again", "session_expired",
    )  # fmt: skip
    assert {event for event in rare if counts[event]} == set(rare)


def test_every_fault_is_scheduled_by_some_seed() -> None:
    scheduled = {fault.name for seed in range(300) for fault in draw_schedule(seed, draw_parameters(seed))}
    assert scheduled == set(FAULTS)


def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    first, second = (simulate("--seeds", "0:4", "--jobs", "1", "--json", hash_seed=seed) for seed in ("1", "2"))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    reports = [json.loads(done.stdout) for done in (first, second)]
    assert reports[0]["trace_hash"] == reports[1]["trace_hash"]
    assert reports[0]["steps"] == reports[1]["steps"] > 1000


def test_parameters_differ_between_seeds() -> None:
    drawn = [draw_parameters(seed) for seed in range(300)]
    assert {parameters.raft.lease_reads for parameters in drawn} == {True, False}
    assert {parameters.snapshot_entries for parameters in drawn} == {5, 10, 20, 50, NEVER}
    assert {parameters.spares for parameters in drawn} == {0, 1, 2}
    assert {parameters.session_ttl for parameters in drawn} == {0.4, 1.5, 600.0}


def test_another_seed_is_another_run() -> None:
    assert run(2, Options(3)).trace_hash != run(3, Options(3)).trace_hash


def test_a_trace_is_written_as_json_lines(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    done = simulate("--seeds", "7:8", "--nodes", "3", "--trace", str(trace), "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    assert {"step", "time", "node", "event", "detail"} == set(events[0])
    assert {"became_leader", "received", "iterated", "healed", "invoked", "completed"} <= {e["event"] for e in events}
    assert json.loads(done.stdout)["trace_hash"] == simulate_hash(7, 3)


def simulate_hash(seed: int, nodes: int) -> str:
    report = json.loads(
        simulate("--seeds", f"{seed}:{seed + 1}", "--nodes", str(nodes), "--jobs", "1", "--json").stdout
    )
    return str(report["trace_hash"])


@pytest.mark.parametrize(
    ("mutant", "invariants"),
    [
        ("commit_by_minority", {"Commit Rule"}),
        # The seed decides which of them detects it first.
        ("storage_never_syncs", {"Recovery Restores Durable State", "Nodes Fail Only With Their Disks"}),
    ],
)
def test_a_mutant_is_caught(mutant: str, invariants: set[str]) -> None:
    path = str(MUTANTS / f"{mutant}.py")
    done = simulate("--seeds", "0:100", "--jobs", "1", "--mutant", path, "--json")
    assert done.returncode == 1, done.stderr
    failure = json.loads(done.stdout)["failures"][0]
    assert failure["invariant"] in invariants
    assert failure["last_events"]


def test_a_violation_can_be_replayed() -> None:
    path = str(MUTANTS / "vote_twice.py")
    done = simulate("--seeds", "0:20", "--jobs", "1", "--mutant", path, "--json")
    failure = json.loads(done.stdout)["failures"][0]
    replayed = simulate(*failure["replay"].split()[2:], "--jobs", "1", "--json")
    again = json.loads(replayed.stdout)["failures"][0]
    assert (replayed.returncode, again["step"], again["what"]) == (1, failure["step"], failure["what"])
    assert again["trace_hash"] == failure["trace_hash"]


def test_shrinking_removes_irrelevant_faults() -> None:
    failure = Failure("Progress", "", 1, 1.0, [], [])

    def needs_fault_three(seed: int, options: Options) -> Result:
        kept = list(options.faults_kept or ())
        found = failure if 3 in kept else None
        return Result(seed, found, "", 1, 1.0, 0.0, 0, 0, 0, 0, len(kept), fault_numbers=kept)

    failing = Result(0, failure, "", 1, 1.0, 0.0, 0, 0, 0, 0, 8, fault_numbers=list(range(8)))
    smaller, options = shrink(failing, Options(5), needs_fault_three)
    assert (smaller.faults, options.faults_kept) == (1, (3,))


def test_a_mutant_is_not_loaded_into_the_parent_process() -> None:
    before = Node._carry_out
    job = Job(0, 1, Options(3), MUTANTS / "acknowledged_before_sync.py", processes=1)
    assert [result.failure.invariant for result in simulate_in_processes(job) if result.failure] == [
        "Stable Storage Before Responding"
    ]
    assert Node._carry_out is before


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--seeds", "5"], "A:B"),
        (["--seeds", "5:5"], "A:B"),
        (["--seeds", "0:1", "--faults", "x"], "--faults"),
        (["--seeds", "0:2", "--trace", "t"], "--trace"),
        (["--seeds", "0:1", "--mutant", "nowhere.py", "--jobs", "1"], "nowhere.py"),
    ],
)
def test_wrong_usage_is_reported(arguments: list[str], what: str) -> None:
    done = simulate(*arguments)
    assert done.returncode == 2
    assert what in done.stderr
