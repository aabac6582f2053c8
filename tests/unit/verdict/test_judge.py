"""The verdicts on a run: each promise is seen to be kept, and seen to be broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.checker.verdict import Verdict
from raft_testbed.verdict.availability import costs
from raft_testbed.verdict.directory import read_run
from raft_testbed.verdict.finding import Finding
from raft_testbed.verdict.judge import RunVerdict, judge_run
from tests.support import runs
from tests.support.runs import client_lines, fault, node_line, node_lines, operations, write_run


def judge(directory: Path, **changes: Any) -> RunVerdict:
    return judge_run(read_run(write_run(directory / "run", **changes)))


def finding(verdict: RunVerdict, name: str) -> Finding:
    return next(found for found in verdict.findings if found.name == name)


def only(verdict: RunVerdict, name: str, expected: Verdict) -> Finding:
    """The finding of that name, the only one that is not ok."""
    assert [found.name for found in verdict.findings if found.verdict is not Verdict.OK] == [name]
    assert verdict.verdict is expected
    return finding(verdict, name)


def test_a_run_as_it_must_be_is_ok(tmp_path: Path) -> None:
    verdict = judge(tmp_path)
    assert verdict.verdict is Verdict.OK
    assert [found.name for found in verdict.findings] == [
        *("linearizability", "record", "amount", "availability", "coverage"),
        *("leaders", "votes", "terms", "own word", "applied state", "resources"),
    ]
    content = json.loads(json.dumps(verdict.to_json()))
    assert set(content) == {"verdict", "name", "mutants", "findings", "histories"}
    assert set(content["findings"][0]) == {"name", "verdict", "summary", "details", "data"}
    assert content["histories"]["history.jsonl"]["verdict"] == "ok"


def test_a_stale_read_is_a_violation(tmp_path: Path) -> None:
    verdict = judge(tmp_path, history=client_lines(runs.stale_history()))
    assert "which no linearization explains" in only(verdict, "linearizability", Verdict.VIOLATION).summary


def test_two_leaders_in_a_term(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"].append(node_line("raft-2", 6.0, "became_leader", 2))
    found = only(judge(tmp_path, logs=logs), "leaders", Verdict.VIOLATION)
    assert found.summary == "term 2 has 2 leaders: raft-1, raft-2"


def test_a_node_that_leads_again_in_a_later_term_is_no_second_leader(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"].append(node_line("raft-2", 16.0, "became_leader", 3))
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_two_votes_in_a_term_also_over_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].append(node_line("raft-0", 8.4, "vote_granted", 1, candidate="raft-2"))
    logs["raft-0"].sort(key=lambda record: (record["term"], record["ts"]))
    found = finding(judge(tmp_path, logs=logs), "votes")
    assert found.verdict is Verdict.VIOLATION
    assert found.summary == "raft-0 voted for raft-0 and for raft-2 in term 1"


def test_a_term_that_goes_back_over_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-0"].append(node_line("raft-0", 11.0, "node_started", 0))
    logs["raft-0"].append(node_line("raft-0", 11.1, "log_recovered", 1))
    found = only(judge(tmp_path, logs=logs), "terms", Verdict.VIOLATION)
    assert found.summary.startswith("raft-0 went back from term 2 to 1 (log_recovered at ")


def test_a_node_that_lost_its_data_may_have_forgotten_terms_and_votes(tmp_path: Path) -> None:
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
    verdict = judge(tmp_path, logs=logs, faults=[lost])
    assert finding(verdict, "terms").verdict is Verdict.OK
    assert finding(verdict, "votes").verdict is Verdict.OK


def test_lives_that_ended_before_the_run_do_not_count(tmp_path: Path) -> None:
    """Found on kind: a disk that an earlier run had taken away seemed to have been forgotten in this one."""
    logs = node_lines()
    logs["raft-0"] = [node_line("raft-0", -5.0, "log_recovered", 7), *logs["raft-0"]]
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_what_a_node_says_before_it_ends_is_of_the_data_that_it_is_about_to_lose(tmp_path: Path) -> None:
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


def test_a_node_that_finds_an_invariant_broken(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-1"].append(node_line("raft-1", 19.0, "invariant_violated", 2, error="commit index goes back"))
    found = only(judge(tmp_path, logs=logs), "own word", Verdict.VIOLATION)
    assert found.summary.endswith("commit index goes back")


def come_back(logs: dict[str, list[runs.Record]], voted_for: str | None, term: int = 2) -> None:
    """raft-2, which has voted for raft-1 in term 2, restarts after 15 s."""
    logs["raft-2"] += [
        node_line("raft-2", 15.0, "node_started", 0),
        node_line("raft-2", 15.1, "log_recovered", term, last_log_index=1500, voted_for=voted_for),
        node_line("raft-2", 20.0, "state_hash", term, applied_index=2000, hash="7d0"),
    ]


def test_a_vote_that_is_forgotten_at_a_restart(tmp_path: Path) -> None:
    logs = node_lines()
    come_back(logs, None)
    found = only(judge(tmp_path, logs=logs), "votes", Verdict.VIOLATION)
    assert found.summary.startswith("raft-2 voted for raft-1 in term 2, came back at ")


@pytest.mark.parametrize(("voted_for", "term"), [("raft-1", 2), (None, 3)], ids=["known", "of an older term"])
def test_a_vote_that_is_known_or_needed_no_more(tmp_path: Path, voted_for: str | None, term: int) -> None:
    logs = node_lines()
    come_back(logs, voted_for, term)
    assert judge(tmp_path, logs=logs).verdict is Verdict.OK


def test_a_vote_that_went_with_the_disk(tmp_path: Path) -> None:
    logs = node_lines()
    come_back(logs, None)
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
    found = only(judge(tmp_path, logs=logs), "applied state", Verdict.VIOLATION)
    assert found.summary == "states differ after index 1000: raft-0, raft-1 3e8; raft-2 other"


def test_a_node_that_shows_no_state_in_the_end_is_not_known(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line.get("applied_index") != 2000]
    found = only(judge(tmp_path, logs=logs), "applied state", Verdict.UNKNOWN)
    assert found.summary == "not all nodes show what they have after index 2000: raft-2 (up to 1000)"


def test_a_node_that_outgrows_its_bounds(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-1"].append(node_line("raft-1", 19.0, "resources_used", 2, resident_bytes=17 << 20, open_files=9))
    found = only(judge(tmp_path, logs=logs), "resources", Verdict.VIOLATION)
    assert found.summary == "raft-1 used 17 MiB of memory; at most 16 were to be"
    assert "raft-1: MiB of memory: first 1, last 17, at most 17" in found.details


def test_a_node_that_does_not_say_what_it_uses_is_not_known(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line["event"] != "resources_used"]
    found = only(judge(tmp_path, logs=logs), "resources", Verdict.UNKNOWN)
    assert found.summary == "raft-2 logged no MiB of memory"


def test_a_bound_that_there_is_not_is_named(tmp_path: Path) -> None:
    verdict = judge(tmp_path, change=lambda d: d.update(resources_max={"cpus": 2}))
    assert "no such bound: cpus" in only(verdict, "resources", Verdict.UNKNOWN).summary


def test_where_no_bound_was_stated_nothing_is_judged(tmp_path: Path) -> None:
    verdict = judge(tmp_path, change=lambda d: d.pop("resources_max"))
    assert finding(verdict, "resources").verdict is None
    assert verdict.verdict is Verdict.OK


def test_a_node_that_was_removed_need_not_show_what_came_after(tmp_path: Path) -> None:
    logs = node_lines()
    logs["raft-2"] = [line for line in logs["raft-2"] if line.get("applied_index") != 2000]
    for index, voters in ((1, ["raft-0", "raft-1", "raft-2"]), (1500, ["raft-0", "raft-1"])):
        change = node_line(
            "raft-0", 8.9, "configuration_changed", 2, index=index, voters=voters, learners=[], outgoing=[]
        )
        logs["raft-0"].append(change)
    found = finding(judge(tmp_path, logs=logs), "applied state")
    assert (found.verdict, found.data["last"]["raft-2"]) == (Verdict.OK, 1000)


def test_what_a_fault_cost_is_from_write_to_write(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    (cost,) = costs(run)
    assert cost.gap is not None
    assert 0.5 < cost.gap.seconds < 0.7
    assert cost.gap.began <= run.started + 5.0 <= cost.gap.ended


def test_a_fault_that_cost_more_than_promised(tmp_path: Path) -> None:
    found = only(judge(tmp_path, faults=[fault(unavailability_slo_seconds=0.4)]), "availability", Verdict.VIOLATION)
    assert found.summary.startswith("process_killed of raft-0: 0.5")
    assert found.summary.endswith("s without an acknowledged write; at most 0.4 s are promised")


def test_where_nothing_is_promised_nothing_is_broken(tmp_path: Path) -> None:
    assert judge(tmp_path, faults=[fault(unavailability_slo_seconds=None)]).verdict is Verdict.OK


def test_a_calm_time_may_have_a_promise_too(tmp_path: Path) -> None:
    """The hole after 5 s is no fault's."""
    other = fault(injected_at=runs.ts(12), healed_at=runs.ts(13), recovered_at=runs.ts(14))

    def promise(description: dict[str, Any]) -> None:
        description["unavailability_slo_seconds"] = 0.4

    assert judge(tmp_path, change=promise).verdict is Verdict.OK
    found = only(judge(tmp_path / "other", change=promise, faults=[other]), "availability", Verdict.VIOLATION)
    assert found.summary.startswith("without any fault: 0.5")


def test_a_fault_after_the_clients_had_ended_is_not_known(tmp_path: Path) -> None:
    late = fault(injected_at=runs.ts(21), healed_at=runs.ts(22), recovered_at=runs.ts(23))
    found = only(judge(tmp_path, faults=[late]), "availability", Verdict.UNKNOWN)
    assert found.summary == "process_killed of raft-0: no client was at work"


@pytest.mark.parametrize(
    ("holds", "expected", "words"),
    [
        (False, Verdict.VIOLATION, "did not have the expected effect"),
        (None, Verdict.UNKNOWN, "may not have had the expected effect"),
    ],
)
def test_a_fault_that_did_not_happen(tmp_path: Path, holds: bool | None, expected: Verdict, words: str) -> None:
    evidence = [{"expected": "packets are dropped", "observed": "0 dropped", "holds": holds}]
    found = only(judge(tmp_path, faults=[fault(), fault(evidence=evidence)]), "coverage", expected)
    assert found.summary == f"1 of 2 faults {words}: process_killed of raft-0"


def test_a_fault_without_evidence_is_not_known(tmp_path: Path) -> None:
    only(judge(tmp_path, faults=[fault(evidence=[])]), "coverage", Verdict.UNKNOWN)


def test_a_skipped_fault_is_told_and_harms_nothing(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    verdict = judge(tmp_path, faults=[fault(), skipped])
    assert verdict.verdict is Verdict.OK
    assert "clock_jump was skipped: processes share one clock" in finding(verdict, "coverage").details


def test_a_run_of_skipped_faults_alone_shows_nothing(tmp_path: Path) -> None:
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    only(judge(tmp_path, faults=[skipped]), "coverage", Verdict.UNKNOWN)


def test_an_idle_run_does_not_pass(tmp_path: Path) -> None:
    found = only(judge(tmp_path, change=lambda d: d.update(operations_ok_min=5000)), "amount", Verdict.VIOLATION)
    assert found.summary.endswith("operations succeeded, and at least 5,000 must")


def test_a_lost_line_makes_the_history_unknown(tmp_path: Path) -> None:
    lines = client_lines(operations())
    del lines[100]
    verdict = judge(tmp_path, history=lines)
    assert verdict.verdict is Verdict.UNKNOWN
    assert finding(verdict, "record").summary.startswith("history.jsonl: line 101: n is 101 where 100 should follow")
    for name in ("record", "linearizability", "amount", "availability"):
        assert finding(verdict, name).verdict is Verdict.UNKNOWN


def test_a_lost_end_is_noticed(tmp_path: Path) -> None:
    found = only(judge(tmp_path, history=client_lines(operations())[:-2]), "record", Verdict.UNKNOWN)
    assert found.summary == "history.jsonl: the workload's last line is missing"


def test_missing_final_reads_are_noticed(tmp_path: Path) -> None:
    lines = client_lines(operations(), final_reads=False)
    found = only(judge(tmp_path, history=lines), "record", Verdict.UNKNOWN)
    assert found.summary == "history.jsonl: the final reads are missing"


def test_what_is_not_to_be_judged_is_told_and_harms_nothing(tmp_path: Path) -> None:
    logs = {node: [line for line in lines if line["event"] != "state_hash"] for node, lines in node_lines().items()}
    reason = {"applied state": "it logs no hashes"}
    verdict = judge(tmp_path, logs=logs, change=lambda d: d.update(not_judged=reason))
    assert verdict.verdict is Verdict.OK
    found = finding(verdict, "applied state")
    assert (found.verdict, found.summary) == (None, "it logs no hashes")


def test_logs_may_come_in_chunks_that_overlap(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    whole = (directory / "logs" / "raft-0.log").read_text().splitlines(keepends=True)
    (directory / "logs" / "raft-0.log").write_text("".join(whole[4:]))
    (directory / "logs" / "raft-0.before-kill.log").write_text("".join(whole[:6]))
    run = read_run(directory)
    assert [event.fields for event in run.logs["raft-0"].events] == [json.loads(line) for line in whole]


def test_a_torn_line_of_a_killed_node_is_told(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    with (directory / "logs" / "raft-0.log").open("a") as log:
        log.write('{"ts": "2027-')
    verdict = judge_run(read_run(directory))
    assert verdict.verdict is Verdict.OK
    assert finding(verdict, "record").details == ['raft-0: 1 lines of its log are no events: {"ts": "2027-']


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
def test_what_can_not_be_read_is_named(tmp_path: Path, name: str, content: str, what: str) -> None:
    directory = write_run(tmp_path / "run")
    (directory / name).write_text(content)
    with pytest.raises(ConfigurationError, match=what):
        read_run(directory)
