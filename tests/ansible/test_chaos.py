"""Chaos without a cluster: scenarios, who suffers, how an undoing is armed, how logs are followed."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
import yaml

from tests.ansible.plugins import ROOT, load_plugin

chaos = load_plugin("filter", "chaos")
SCENARIOS = sorted((ROOT / "inventory" / "scenarios").glob("*.yml"))


@pytest.fixture(autouse=True, scope="module")
def module_utils() -> Iterator[None]:
    """Ansible adds this directory when it builds a module; here, an import has to find it."""
    places = ansible.module_utils.__path__
    places.append(str(ROOT / "plugins" / "module_utils"))
    yield
    places.remove(str(ROOT / "plugins" / "module_utils"))


def faults(name: str) -> ModuleType:
    return importlib.import_module(f"ansible.module_utils.testbed_faults.{name}")


def scenario(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def minimal(**members: Any) -> dict[str, Any]:
    return {"description": "d", "operations_ok_min": 1, "faults": [{"fault": "kill"}], **members}


# --- scenarios --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_can_be_read_and_names_faults_and_targets_that_there_are(path: Path) -> None:
    steps = chaos.chaos_steps(scenario(path), seed=1)
    assert {step["fault"] for step in steps} <= set(faults("catalogue").CATALOGUE)
    assert {step["target"] for step in steps} <= {"", *faults("view").TARGETS}


def test_the_tour_has_every_fault() -> None:
    steps = chaos.chaos_steps(scenario(ROOT / "inventory" / "scenarios" / "tour.yml"), seed=1)
    assert {step["fault"] for step in steps} == set(faults("catalogue").CATALOGUE)


def test_settings_of_network_faults_in_scenarios_are_known_to_their_faults() -> None:
    catalogue = faults("catalogue").CATALOGUE
    for path in SCENARIOS:
        for step in chaos.chaos_steps(scenario(path), seed=1):
            if step["options"]:
                assert step["options"].keys() <= catalogue[step["fault"]].rule.keys(), step


def test_the_same_seed_makes_the_same_steps_and_another_makes_others() -> None:
    plan = scenario(ROOT / "inventory" / "scenarios" / "random.yml")
    assert chaos.chaos_steps(plan, 7) == chaos.chaos_steps(plan, 7)
    assert chaos.chaos_steps(plan, 7) != chaos.chaos_steps(plan, 8)


def test_a_longer_random_run_begins_as_a_shorter_one() -> None:
    plan = scenario(ROOT / "inventory" / "scenarios" / "random.yml")
    short = [step["fault"] for step in chaos.chaos_steps(plan, 7, 60)]
    assert [step["fault"] for step in chaos.chaos_steps(plan, 7, 600)][: len(short)] == short


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (minimal(unknown=1), "no such member: unknown"),
        (minimal(faults=[]), "no faults"),
        (minimal(random={"seconds": 1, "faults": []}), "either"),
        (minimal(faults=[{"target": "leader"}]), "no name"),
        (minimal(faults=[{"fault": "kill", "duration": 1}]), "no such member: duration"),
        (minimal(faults=[{"fault": "kill", "seconds": [3, 1]}]), "least and the greatest"),
        (minimal(workload={"speed": 1}), "no such member: speed"),
        ({"faults": [{"fault": "kill"}], "description": "d"}, "operations_ok_min is missing"),
    ],
)
def test_a_scenario_that_is_wrong_is_refused_by_name(plan: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        chaos.chaos_steps(plan, 1)


def test_the_workload_is_told_its_seed_and_keys_of_its_own() -> None:
    arguments = chaos.workload_arguments({"clients": 3, "value_bytes": 10}, 7, "run-1", 60)
    assert {"--clients=3", "--value-bytes=10", "--seed=7", "--run-id=run-1", "--duration=0"} <= set(arguments)


def test_evidence_that_was_not_seen_is_shouted() -> None:
    window = {
        "fault": "kill",
        "targets": ["raft-0"],
        "term_before": 1,
        "term_after": 1,
        "evidence": [{"expected": "another term", "holds": False, "observed": "the same"}],
    }
    assert chaos.window_lines(window)[1] == "NOT SEEN: another term (the same)"


# --- who suffers ------------------------------------------------------------------------------------------------------


def view(count: int = 5, first: int | None = 0, **changes: Any) -> Any:
    module = faults("view")
    ids = [f"raft-{number}" for number in range(count)]
    name = "" if first is None else ids[first]
    nodes = [
        module.NodeView(
            node_id,
            f"p{node_id}",
            "running",
            True,
            "leader" if node_id == name else "follower",
            3,
            name,
            list(ids),
            9,
            9,
        )
        for node_id in ids
    ]
    for member, value in changes.items():
        setattr(nodes[-1], member, value)
    return module.View(nodes)


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("leader", 1),
        ("follower", 1),
        ("random", 1),
        ("minority", 2),
        ("minority_with_leader", 2),
        ("majority", 3),
        ("all", 5),
    ],
)
def test_targets_are_as_many_as_their_name_says_and_have_the_role(target: str, count: int) -> None:
    for seed in range(20):
        chosen = faults("view").choose_targets(target, view(), Random(seed))
        assert len(set(chosen)) == count
        if target in ("leader", "minority_with_leader"):
            assert "raft-0" in chosen
        if target == "follower":
            assert "raft-0" not in chosen


def test_the_same_chance_chooses_the_same() -> None:
    choose = faults("view").choose_targets
    assert [choose("minority", view(), Random("7/3")) for _ in range(3)] == [
        choose("minority", view(), Random("7/3"))
    ] * 3
    assert len({tuple(choose("minority", view(), Random(seed))) for seed in range(50)}) > 5


@pytest.mark.parametrize(
    ("target", "cluster"), [("nobody", view), ("minority", lambda: view(1)), ("leader", lambda: view(3, None))]
)
def test_who_cannot_be_chosen_is_said(target: str, cluster: Any) -> None:
    with pytest.raises(faults("view").TargetError):
        faults("view").choose_targets(target, cluster(), Random(1))


def test_all_is_well_when_all_follow_one_leader_vote_and_have_applied() -> None:
    assert view().pending(9) == ""


@pytest.mark.parametrize(
    "changes",
    [{"answers": False}, {"leader": "raft-1"}, {"term": 4}, {"voters": ["raft-0"]}, {"applied_index": 8}],
    ids=lambda changes: next(iter(changes)),
)
def test_one_node_that_is_not_well_is_named(changes: dict[str, Any]) -> None:
    assert view(**changes).pending(9) != ""


def test_a_ring_leaves_each_node_a_majority_and_no_two_the_same() -> None:
    links = faults("network").PartitionRing().links(view(5), step=None)
    ids = view(5).ids
    seen = {one: frozenset(other for other in ids if (one, other) not in links) for one in ids}
    assert all(len(others) == 3 for others in seen.values())
    assert len(set(seen.values())) == 5


def step(**members: Any) -> Any:
    given = {"id": "x", "fault": "x", "targets": ["raft-0"], "seconds": 5.0, "expiry_seconds": 9.0, "options": {}}
    return faults("fault").Step(**{**given, **members})


class Timed:
    """As much of a cluster as promises need."""

    election_seconds_max = 0.3
    client_silence_seconds = 1.0


def test_a_minority_is_promised_three_election_timeouts_and_a_majority_nothing() -> None:
    catalogue = faults("catalogue").CATALOGUE
    assert catalogue["kill"].promise_seconds(Timed(), step(), view(3)) == pytest.approx(0.9)
    assert catalogue["partition"].promise_seconds(Timed(), step(), view(3)) == pytest.approx(1.9)
    assert catalogue["kill"].promise_seconds(Timed(), step(targets=["raft-0", "raft-1"]), view(3)) is None


def test_nodes_that_have_not_told_their_newest_state_hash_are_named(tmp_path: Path) -> None:
    logs = [tmp_path / f"raft-{number}.log" for number in range(3)]
    for log in logs:
        log.write_bytes(line(event="state_hash", applied_index=7, hash="a") + b'{"event": "state_hash", "appl')
    names = [str(log) for log in logs]
    assert chaos.hashes_pending(names) == ""
    with logs[1].open("ab") as log:
        log.write(b"\n" + line(event="state_hash", applied_index=9, hash="b"))
    assert chaos.hashes_pending(names) == f"{names[0]} (up to 7 of 9), {names[2]} (up to 7 of 9)"
    assert chaos.hashes_pending([]) == ""


# --- undoing by itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Any:
    return faults("shell").Place("here", str(tmp_path / "faults"))


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def test_what_nodes_log_nothing_of_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text('{"event": "vote_granted"}\n')
    (tmp_path / "b.log").write_text('{"event": "became_leader"}\n')
    logs = [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    assert set(chaos.chaos_not_judged(logs)) == {"state machine safety", "resources"}
    assert set(chaos.chaos_not_judged(logs[1:])) == {"state machine safety", "resources", "votes"}


# --- other systems ----------------------------------------------------------------------------------------------------

SYSTEMS = sorted((ROOT / "inventory" / "systems").glob("*.yml"))


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_a_system_is_named_as_its_file_and_skips_faults_that_there_are(path: Path) -> None:
    system = scenario(path)
    assert system["system_name"] == path.stem
    assert set(system.get("system_faults_skipped", {})) <= set(faults("catalogue").CATALOGUE)
    for name in system.get("system_inputs", []):
        assert (ROOT / name).exists()
    own = {"raft_election_timeout_ms_min", "raft_election_timeout_ms_max", "raft_heartbeat_interval_ms"}
    inputs = yaml.safe_load((ROOT / "roles" / "system" / "defaults" / "main.yml").read_text())
    assert set(system) <= own | set(inputs)


class Foreign:
    """As much of a cluster as faults ask of another system's."""

    platform = "local"
    proxy = ""

    def __init__(self, system: str) -> None:
        self.system = system


@pytest.mark.parametrize("name", ["log-torn", "bits-flipped", "partition", "loss"])
def test_what_knows_raft_pkg_alone_is_skipped_for_others_and_says_for_whom(name: str) -> None:
    assert "another" in faults("catalogue").CATALOGUE[name].unavailable(Foreign("another"))


@pytest.mark.parametrize("name", ["log-torn", "bits-flipped"])
def test_the_files_of_raft_pkg_are_known(name: str) -> None:
    assert faults("catalogue").CATALOGUE[name].unavailable(Foreign("raft_pkg")) == ""


def test_a_record_from_before_there_were_others_is_of_raft_pkg() -> None:
    assert faults("view").system_name({}) == "raft_pkg"
    assert faults("view").system_name({"system": {"name": "etcd"}}) == "etcd"


def test_what_nobody_heals_undoes_itself(place: Any, tmp_path: Path) -> None:
    place.arm("it.raft-0", f"touch {tmp_path}/undone", 0.1)
    wait_for(tmp_path / "undone")
    assert place.heal("it.raft-0") == "expired"
    assert place.leftovers() == []


def test_healing_undoes_once_and_takes_the_watcher_away(place: Any, tmp_path: Path) -> None:
    place.arm("it.raft-0", f"echo x >> {tmp_path}/undone", 3600)
    assert place.leftovers() == ["it.raft-0"]
    watcher = int((tmp_path / "faults" / "it.raft-0.pid").read_text())
    assert place.heal("it.raft-0") == "healed"
    assert (tmp_path / "undone").read_text() == "x\n"
    assert place.leftovers() == []
    assert place.heal("it.raft-0") == "nothing"
    deadline = time.monotonic() + 30
    while faults("local").process_state(watcher) not in ("", "Z"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_undoing_that_fails_says_so_and_stays_a_leftover(place: Any) -> None:
    place.arm("it.raft-0", "echo why >&2; exit 1", 3600)
    with pytest.raises(faults("shell").ShellError, match="why"):
        place.heal("it.raft-0")
    assert place.leftovers() == ["it.raft-0"]


def test_bytes_of_a_file_are_changed_in_place(place: Any, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"abcdef")
    place.write_at(str(file), 2, b"XY")
    assert place.read(str(file)) == b"abXYef"


# --- logs that are followed -------------------------------------------------------------------------------------------


def follower(tmp_path: Path) -> Any:
    path = ROOT / "roles" / "chaos" / "files" / "follow_log.py"
    specification = importlib.util.spec_from_file_location("follow_log", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Follower(["kubectl"], "client", tmp_path / "history.jsonl", threading.Event())


def line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


def test_a_log_that_is_read_again_is_written_once(tmp_path: Path) -> None:
    follow = follower(tmp_path)
    first, others = [line(n=0), line(n=1)], [line(event="a"), line(event="b")]
    for text in (*first, *others, *first, line(n=2), *others, line(event="c")):
        follow._take(text)
    written = io.BytesIO((tmp_path / "history.jsonl").read_bytes()).readlines()
    assert written == [*first, *others, line(n=2), line(event="c")]


def test_who_was_left_with_a_rotated_log_reads_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on kind: `kubectl logs --follow` stays with the old file, and the history had a hole."""
    first, second = line(n=0) + line(n=1), line(n=2) + line(n=3)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f"#!/bin/sh\nif mkdir {tmp_path}/asked; then printf '%s\\n' '{first.decode().strip()}'; exec sleep 3600; fi\n"
        f"printf '%s\\n' '{second.decode().strip()}'\n"
    )
    kubectl.chmod(0o755)
    follow = follower(tmp_path)
    follow._kubectl = [str(kubectl)]
    monkeypatch.setitem(follow._hears.__func__.__globals__["SILENCE_SECONDS_MAX"], True, 0.1)
    follow._read("--follow")
    follow._read("--follow")
    assert (tmp_path / "history.jsonl").read_bytes() == first + second


def test_lines_that_were_rotated_away_are_taken_from_the_rotated_files(tmp_path: Path) -> None:
    """Found on kind: of 80,000 lines in three rotations, one came by no stream."""
    pod = {
        "metadata": {"namespace": "default", "name": "client", "uid": "u"},
        "spec": {"nodeName": "worker", "containers": [{"name": "main"}]},
    }
    entry = b"2026-01-01T00:00:00Z stdout F "
    place = "/api/v1/nodes/worker/proxy/logs/pods/default_client_u/main/"
    answers = {
        ("get", "pod", "client", "-o", "json"): json.dumps(pod).encode(),
        ("get", "--raw", place): b'<pre><a href="0.log">0.log</a><a href="0.log.1.gz">0.log.1.gz</a></pre>',
        ("get", "--raw", f"{place}0.log"): entry + line(n=2) + entry + line(n=3),
        ("get", "--raw", f"{place}0.log.1.gz"): gzip.compress(entry + line(n=0) + entry + line(n=1)),
    }
    follow = follower(tmp_path)
    follow._ask = lambda *arguments: answers[arguments]
    follow._take(line(n=0))
    follow._take(line(n=3))
    assert (tmp_path / "history.jsonl").read_bytes() == b"".join(line(n=number) for number in range(4))


def test_a_gap_in_the_numbers_stays_visible(tmp_path: Path) -> None:
    follow = follower(tmp_path)
    follow._kubectl = ["false"]
    for number in (0, 1, 5):
        follow._take(line(n=number))
    assert (tmp_path / "history.jsonl").read_bytes() == line(n=0) + line(n=1) + line(n=5)


# --- Pods -------------------------------------------------------------------------------------------------------------


def terminated(container_id: str, status: int) -> dict[str, Any]:
    return {"terminated": {"containerID": f"containerd://{container_id}", "exitCode": status}}


@pytest.mark.parametrize(
    ("newest", "state", "last_state", "found"),
    [
        ("hit", {"running": {}}, terminated("older", 137), ""),
        ("hit", terminated("hit", 137), terminated("older", 137), ""),
        ("newer", {"running": {}}, terminated("hit", 137), ""),
        ("newer", terminated("newer", 0), terminated("hit", 137), ""),
        ("newer", terminated("newer", 2), terminated("hit", 137), "state"),
        ("newer", {"waiting": {}}, terminated("newer", 2), "lastState"),
        ("newest", {"running": {}}, terminated("newer", 2), "lastState"),
    ],
)
def test_what_failed_before_a_container_was_hit_is_not_taken_for_its_failure(
    newest: str, state: dict[str, Any], last_state: dict[str, Any], found: str
) -> None:
    """Found on kind: a node that had been killed before was said to start with a flipped bit."""
    container = {"containerID": f"containerd://{newest}", "state": state, "lastState": last_state}
    assert faults("kubernetes").failed_state(container, "hit") == found
