"""The verdict on a run: every property is found to hold, and found to be violated."""

import json
from pathlib import Path
from typing import Any

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.availability import unavailability_by_fault
from raft_testbed.verdict.directory import read_run
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.judge import RunFinding, judge_run
from tests.support import runs
from tests.support.runs import client_lines, fault, node_line, node_lines, operations, write_run


def judge(directory: Path, **changes: Any) -> RunFinding:
    return judge_run(read_run(write_run(directory / "run", **changes)))


def finding(judged: RunFinding, name: str) -> Finding:
    return next(found for found in judged.findings if found.name == name)


def only(judged: RunFinding, name: str, expected: Verdict) -> Finding:
    """Return the finding of that name, the only one that is not ok."""
    assert [found.name for found in judged.findings if found.verdict is not Verdict.OK] == [name]
    assert judged.verdict is expected
    return finding(judged, name)


def test_a_correct_run_is_ok(tmp_path: Path) -> None:
    judged = judge(tmp_path)
    assert judged.verdict is Verdict.OK
    assert [found.name for found in judged.findings] == [
        *("linearizability", "log completeness", "throughput floor", "availability", "coverage"),
        *("election safety", "votes", "terms", "self-reported", "state machine safety", "resources"),
    ]
    content = json.loads(json.dumps(judged.to_json()))
    assert set(content) == {"verdict", "name", "mutants", "findings", "histories"}
    assert set(content["findings"][0]) == {"name", "verdict", "summary", "details", "data"}
    assert content["histories"]["history.jsonl"]["verdict"] == "ok"


def test_a_stale_read_is_a_violation(tmp_path: Path) -> None:
    judged = judge(tmp_path, history=client_lines(runs.stale_history()))
    assert "which no linearization explains" in only(judged, "linearizability", Verdict.VIOLATION).summary


def test_two_leaders_in_a_term(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"].append(node_line("raft-2", 6.0, "became_leader", 2))
    found = only(judge(tmp_path, logs=logs), "election safety", Verdict.VIOLATION)
    assert found.summary == "term 2 has 2 leaders: raft-1, raft-2"


def test_leaders_in_different_terms_are_ok(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"].append(node_line("raft-2", 16.0, "became_leader", 3))
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_two_votes_in_a_term_before_and_after_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].append(node_line("raft-0", 8.4, "vote_granted", 1, candidate="raft-2"))
    logs["raft-0"].sort(key=lambda record: (record["term"], record["ts"]))
    found = finding(judge(tmp_path, logs=logs), "votes")
    assert found.verdict is Verdict.VIOLATION
    assert found.summary == "raft-0 voted for raft-0 and for raft-2 in term 1"


def test_a_term_that_decreases_at_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].append(node_line("raft-0", 11.0, "node_started", 0))
    logs["raft-0"].append(node_line("raft-0", 11.1, "log_recovered", 1))
    found = only(judge(tmp_path, logs=logs), "terms", Verdict.VIOLATION)
    assert found.summary.startswith("raft-0 went back from term 2 to 1 (log_recovered at ")


def test_a_node_that_lost_its_data_may_lose_its_term_and_vote(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"] += [
        node_line("raft-0", 11.0, "node_started", 0),
        node_line("raft-0", 11.1, "log_recovered", 0),
        node_line("raft-0", 11.2, "vote_granted", 1, candidate="raft-2"),
    ]
    logs["raft-0"] = [line for line in logs["raft-0"] if line["ts"] != runs.ts(20)]
    lost = fault(
        fault="volume_lost",
        injected_at=runs.ts(10.5),
        healed_at=runs.ts(11),
        recovered_at=runs.ts(12),
        data_lost=["raft-0"],
    )
    judged = judge(tmp_path, logs=logs, faults=[lost])
    assert finding(judged, "terms").verdict is Verdict.OK
    assert finding(judged, "votes").verdict is Verdict.OK


def test_incarnations_that_ended_before_the_run_are_dropped(tmp_path: Path) -> None:
    """Regression, found on kind: a disk removed by an earlier run looked like a lost term in this run."""
    logs = node_lines()
    logs["raft-0"] = [node_line("raft-0", -5.0, "log_recovered", 7), *logs["raft-0"]]
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_events_before_the_end_of_an_incarnation_belong_to_the_old_disk(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"] = [line for line in logs["raft-0"] if line["ts"] < runs.ts(10)]
    logs["raft-0"] += [
        node_line("raft-0", 10.6, "node_stopped", 2),
        node_line("raft-0", 11.0, "node_started", 0),
        node_line("raft-0", 11.1, "log_recovered", 0),
    ]
    lost = fault(
        fault="volume_lost",
        injected_at=runs.ts(10.5),
        healed_at=runs.ts(11),
        recovered_at=runs.ts(12),
        data_lost=["raft-0"],
    )
    assert finding(judge(tmp_path, logs=logs, faults=[lost]), "terms").verdict is Verdict.OK


def test_a_violation_that_a_node_reports_itself(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-1"].append(node_line("raft-1", 19.0, "invariant_violated", 2, error="commit index goes back"))
    found = only(judge(tmp_path, logs=logs), "self-reported", Verdict.VIOLATION)
    assert found.summary.endswith("commit index goes back")


def restart_raft_2(logs: dict[str, list[runs.Record]], voted_for: str | None, term: int = 2) -> None:
    """Restart raft-2, which voted for raft-1 in term 2, after 15 s."""
    logs["raft-2"] += [
        node_line("raft-2", 15.0, "node_started", 0),
        node_line("raft-2", 15.1, "log_recovered", term, last_log_index=1500, voted_for=voted_for),
        node_line("raft-2", 20.0, "state_hash", term, applied_index=2000, hash="7d0"),
    ]


def test_a_vote_that_does_not_survive_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    restart_raft_2(logs, None)
    found = only(judge(tmp_path, logs=logs), "votes", Verdict.VIOLATION)
    assert found.summary.startswith("raft-2 voted for raft-1 in term 2, restarted at ")


@pytest.mark.parametrize(("voted_for", "term"), [("raft-1", 2), (None, 3)], ids=["recovered", "of an older term"])
def test_a_vote_that_survives_or_is_of_an_older_term(tmp_path: Path, voted_for: str | None, term: int) -> None:
    logs = node_lines()
    restart_raft_2(logs, voted_for, term)
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_a_vote_that_was_lost_with_the_disk(tmp_path: Path) -> None:
    logs = node_lines()
    restart_raft_2(logs, None)
    lost = fault(
        targets=["raft-2"],
        injected_at=runs.ts(14.5),
        healed_at=runs.ts(15),
        recovered_at=runs.ts(16),
        data_lost=["raft-2"],
    )
    assert judge(tmp_path, logs=logs, faults=[lost]).verdict is Verdict.OK


def test_states_that_differ(tmp_path: Path) -> None:
    logs = node_lines()
    for line in logs["raft-2"]:
        if line.get("applied_index") == 1000:
            line["hash"] = "other"
    found = only(judge(tmp_path, logs=logs), "state machine safety", Verdict.VIOLATION)
    assert found.summary == "states differ after index 1000: raft-0, raft-1 3e8; raft-2 other"


def test_a_member_without_a_state_hash_at_the_latest_index_is_unknown(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line.get("applied_index") != 2000]
    found = only(judge(tmp_path, logs=logs), "state machine safety", Verdict.UNKNOWN)
    assert found.summary == "members without a state hash at the latest index, 2000: raft-2 (up to 1000)"


def test_a_node_that_exceeds_a_resource_limit(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-1"].append(node_line("raft-1", 19.0, "resources_used", 2, resident_bytes=17 << 20, open_files=9))
    found = only(judge(tmp_path, logs=logs), "resources", Verdict.VIOLATION)
    assert found.summary == "raft-1 used 17 MiB of memory; the limit is 16"
    assert "raft-1: MiB of memory: first 1, last 17, peak 17" in found.details


def test_a_node_that_logs_no_resource_usage_is_unknown(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line["event"] != "resources_used"]
    found = only(judge(tmp_path, logs=logs), "resources", Verdict.UNKNOWN)
    assert found.summary == "raft-2 logged no MiB of memory"


def test_an_unknown_resource_limit_is_named(tmp_path: Path) -> None:
    judged = judge(tmp_path, change=lambda d: d.update(resources_max={"cpus": 2}))
    assert "unknown limit: cpus" in only(judged, "resources", Verdict.UNKNOWN).summary


def test_resources_without_limits_are_not_judged(tmp_path: Path) -> None:
    judged = judge(tmp_path, change=lambda d: d.pop("resources_max"))
    assert finding(judged, "resources").verdict is None
    assert judged.verdict is Verdict.OK


def test_a_removed_node_needs_no_later_state_hash(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line.get("applied_index") != 2000]
    for index, voters in ((1, ["raft-0", "raft-1", "raft-2"]), (1500, ["raft-0", "raft-1"])):
        change = node_line(
            "raft-0", 8.9, "configuration_changed", 2, index=index, voters=voters, learners=[], outgoing=[]
        )
        logs["raft-0"].append(change)
    found = finding(judge(tmp_path, logs=logs), "state machine safety")
    assert (found.verdict, found.data["last"]["raft-2"]) == (Verdict.OK, 1000)


def test_unavailability_is_measured_from_write_to_write(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    (found,) = unavailability_by_fault(run)
    assert found.longest is not None
    assert 0.5 < found.longest.seconds < 0.7
    assert found.longest.began <= run.started + 5.0 <= found.longest.ended


def test_a_fault_that_misses_its_slo(tmp_path: Path) -> None:
    found = only(judge(tmp_path, faults=[fault(unavailability_slo_seconds=0.4)]), "availability", Verdict.VIOLATION)
    assert found.summary.startswith("process_killed of raft-0: 0.5")
    assert found.summary.endswith("s without an acknowledged write; the SLO is 0.4 s")


def test_a_fault_without_an_slo_is_not_judged(tmp_path: Path) -> None:
    assert judge(tmp_path, faults=[fault(unavailability_slo_seconds=None)]).verdict is Verdict.OK


def test_fault_free_times_have_an_slo_of_their_own(tmp_path: Path) -> None:
    """The gap after 5 s overlaps no fault."""
    other = fault(injected_at=runs.ts(12), healed_at=runs.ts(13), recovered_at=runs.ts(14))

    def set_slo(description: dict[str, Any]) -> None:
        description["unavailability_slo_seconds"] = 0.4

    assert judge(tmp_path, change=set_slo).verdict is Verdict.OK
    found = only(judge(tmp_path / "other", change=set_slo, faults=[other]), "availability", Verdict.VIOLATION)
    assert found.summary.startswith("without a fault: 0.5")


def test_a_fault_after_the_workload_is_unknown(tmp_path: Path) -> None:
    late = fault(injected_at=runs.ts(21), healed_at=runs.ts(22), recovered_at=runs.ts(23))
    found = only(judge(tmp_path, faults=[late]), "availability", Verdict.UNKNOWN)
    assert found.summary == "process_killed of raft-0: no client was active"


@pytest.mark.parametrize(
    ("holds", "expected", "effect"),
    [
        (False, Verdict.VIOLATION, "did not have the expected effect"),
        (None, Verdict.UNKNOWN, "may not have had the expected effect"),
    ],
)
def test_a_fault_without_effect(tmp_path: Path, holds: bool | None, expected: Verdict, effect: str) -> None:
    evidence = [{"expected": "packets are dropped", "observed": "0 dropped", "holds": holds}]
    found = only(judge(tmp_path, faults=[fault(), fault(evidence=evidence)]), "coverage", expected)
    assert found.summary == f"1 of 2 faults {effect}: process_killed of raft-0"


def test_a_fault_without_evidence_is_unknown(tmp_path: Path) -> None:
    only(judge(tmp_path, faults=[fault(evidence=[])]), "coverage", Verdict.UNKNOWN)


def test_a_skipped_fault_is_listed_and_is_ok(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    judged = judge(tmp_path, faults=[fault(), skipped])
    assert judged.verdict is Verdict.OK
    assert "clock_jump was skipped: processes share one clock" in finding(judged, "coverage").details


def test_a_run_with_only_skipped_faults_is_unknown(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    only(judge(tmp_path, faults=[skipped]), "coverage", Verdict.UNKNOWN)


def test_an_idle_run_is_a_violation(tmp_path: Path) -> None:
    found = only(
        judge(tmp_path, change=lambda d: d.update(operations_ok_min=5000)), "throughput floor", Verdict.VIOLATION
    )
    assert found.summary.endswith("operations succeeded; the floor is 5,000")


def test_a_lost_line_of_a_history_is_unknown(tmp_path: Path) -> None:
    lines = client_lines(operations())
    del lines[100]
    judged = judge(tmp_path, history=lines)
    assert judged.verdict is Verdict.UNKNOWN
    assert finding(judged, "log completeness").summary.startswith("history.jsonl: line 101: n is 101 instead of 100")
    for name in ("log completeness", "linearizability", "throughput floor", "availability"):
        assert finding(judged, name).verdict is Verdict.UNKNOWN


def test_a_history_without_its_last_line_is_unknown(tmp_path: Path) -> None:
    found = only(judge(tmp_path, history=client_lines(operations())[:-2]), "log completeness", Verdict.UNKNOWN)
    assert found.summary == "history.jsonl: the line workload_finished is missing"


def test_a_history_without_final_reads_is_unknown(tmp_path: Path) -> None:
    lines = client_lines(operations(), final_reads=False)
    found = only(judge(tmp_path, history=lines), "log completeness", Verdict.UNKNOWN)
    assert found.summary == "history.jsonl: the final reads are missing"


def test_a_property_that_is_not_judged_has_a_reason_and_no_verdict(tmp_path: Path) -> None:
    logs = {node: [line for line in lines if line["event"] != "state_hash"] for node, lines in node_lines().items()}
    reason = {"state machine safety": "it logs no hashes"}
    judged = judge(tmp_path, logs=logs, change=lambda d: d.update(not_judged=reason))
    assert judged.verdict is Verdict.OK
    found = finding(judged, "state machine safety")
    assert (found.verdict, found.summary) == (None, "it logs no hashes")


def test_overlapping_chunks_of_a_log_are_merged(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    whole = (directory / "logs" / "raft-0.log").read_text().splitlines(keepends=True)
    (directory / "logs" / "raft-0.log").write_text("".join(whole[4:]))
    (directory / "logs" / "raft-0.before-kill.log").write_text("".join(whole[:6]))
    run = read_run(directory)
    assert [event.fields for event in run.logs["raft-0"].events] == [json.loads(line) for line in whole]


def test_a_torn_line_of_a_killed_node_is_listed(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    with (directory / "logs" / "raft-0.log").open("a") as log:
        log.write('{"ts": "2027-')
    judged = judge_run(read_run(directory))
    assert judged.verdict is Verdict.OK
    assert finding(judged, "log completeness").details == ['raft-0: 1 lines of the log are not events: {"ts": "2027-']


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("run.json", "{", "run.json: "),
        ("run.json", '{"format": 2}', "run.json: not an object with 'format': 1"),
        ("faults.jsonl", "{\n", "faults.jsonl: line 1: "),
        ("faults.jsonl", '{"fault": "x", "targets": []}\n', "faults.jsonl: line 1: 'injected_at' is missing"),
        ("faults.jsonl", '{"fault": "x", "targets": "raft-0"}\n', "faults.jsonl: line 1: 'targets' is"),
    ],
)
def test_a_malformed_file_is_rejected_with_its_name(tmp_path: Path, name: str, content: str, what: str) -> None:
    directory = write_run(tmp_path / "run")
    (directory / name).write_text(content)
    with pytest.raises(ConfigurationError, match=what):
        read_run(directory)
