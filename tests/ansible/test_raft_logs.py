"""The judgments that verify.yml makes of logs."""

from __future__ import annotations

import json
from typing import Any

from tests.ansible.plugins import load_plugin

raft_logs = load_plugin("filter", "raft_logs")


def line(event: str, node: str = "raft-0", term: int = 1, **fields: Any) -> str:
    return json.dumps({"ts": "2026-01-01T00:00:00.000000Z", "node": node, "event": event, "term": term, **fields})


def healthy(term: int = 1) -> dict[str, list[str]]:
    """Three nodes, of which raft-0 leads."""
    logs = {f"raft-{n}": [line("leader_changed", f"raft-{n}", term, leader="raft-0")] for n in range(3)}
    logs["raft-0"] = [line("became_leader", "raft-0", term) + "\n" + logs["raft-0"][0]]
    return logs


def verdicts(logs: dict[str, list[str]], replicas: int = 3, after_term: int = 0) -> dict[str, bool]:
    return {item["name"]: item["ok"] for item in raft_logs.leadership_checks(logs, replicas, after_term)}


def test_a_healthy_cluster_passes() -> None:
    assert all(verdicts(healthy()).values())


def test_lines_that_are_no_events_are_passed_over() -> None:
    text = "I0000 grpc says something\n[1, 2]\n{torn\n" + line("became_leader") + "\n"
    assert [event["event"] for event in raft_logs.log_events(text)] == ["became_leader"]


def test_two_leaders_in_one_term_are_seen_also_in_an_incarnation_that_is_gone() -> None:
    logs = healthy(term=2)
    logs["raft-1"].insert(0, line("became_leader", "raft-1", 1))
    logs["raft-2"].insert(0, line("became_leader", "raft-2", 1))
    found = verdicts(logs)
    assert not found["at most one leader in every term"]
    assert found["exactly one leader in the newest term"]


def test_no_leader_fails_with_the_last_lines_as_evidence() -> None:
    logs = {f"raft-{n}": [line("election_started", f"raft-{n}")] for n in range(3)}
    checks = {item["name"]: item for item in raft_logs.leadership_checks(logs, 3)}
    assert not checks["exactly one leader in the newest term"]["ok"]
    assert "election_started" in checks["exactly one leader in the newest term"]["evidence"]


def test_a_node_that_follows_another_leader_is_disagreement() -> None:
    logs = healthy()
    logs["raft-2"] = [line("leader_changed", "raft-2", 1, leader="raft-1")]
    assert not verdicts(logs)["all nodes agree on the leader"]


def test_a_node_that_follows_in_an_older_term_is_disagreement() -> None:
    logs = healthy(term=2)
    logs["raft-2"] = [line("leader_changed", "raft-2", 1, leader="raft-0")]
    assert not verdicts(logs)["all nodes agree on the leader"]


def test_a_missing_log_is_disagreement() -> None:
    assert not verdicts(healthy(), replicas=5)["all nodes agree on the leader"]


def test_what_a_node_followed_before_its_restart_does_not_count() -> None:
    logs = healthy()
    logs["raft-1"][0] += "\n" + line("node_started", "raft-1", 0)
    assert not verdicts(logs)["all nodes agree on the leader"]


def test_a_new_leader_must_have_a_later_term() -> None:
    assert verdicts(healthy(term=3), after_term=2)["a new leader in a later term"]
    assert not verdicts(healthy(term=2), after_term=2)["a new leader in a later term"]


def client_log(written: dict[str, str], read: dict[str, str], **finished: Any) -> str:
    lines = [line("leader_found", "client", leader="raft-0", address="h:1")]
    lines += [line("write_acknowledged", "client", key=key, value=value, index=1) for key, value in written.items()]
    lines += [line("read_verified", "client", key=key, value=value) for key, value in read.items()]
    end = {"ok": 2, "failed": 0, "unknown": 0, "mismatches": 0, "seconds": 0.1, "exit_status": 0} | finished
    return "\n".join([*lines, line("workload_finished", "client", **end)])


def client_verdicts(log: str, outcome: str = "Succeeded", expected: dict[str, str] | None = None) -> dict[str, bool]:
    return {item["name"]: item["ok"] for item in raft_logs.client_checks(log, outcome, expected)}


def test_a_client_that_wrote_and_read_back_passes() -> None:
    assert all(client_verdicts(client_log({"a": "1"}, {"a": "1"})).values())


def test_a_client_that_does_not_write_fails() -> None:
    found = client_verdicts(client_log({}, {}, ok=0))
    assert not found["its writes were acknowledged"]
    assert not found["what it wrote was read back"]


def test_a_write_that_is_read_back_otherwise_fails() -> None:
    assert not client_verdicts(client_log({"a": "1"}, {"a": "2"}))["what it wrote was read back"]
    assert not client_verdicts(client_log({"a": "1"}, {}))["what it wrote was read back"]


def test_an_unknown_outcome_or_a_failed_pod_did_not_end_well() -> None:
    assert not client_verdicts(client_log({"a": "1"}, {"a": "1"}, unknown=1))["it ended well"]
    assert not client_verdicts(client_log({"a": "1"}, {"a": "1"}), "Failed")["it ended well"]


def test_an_empty_log_fails_everything() -> None:
    assert not any(client_verdicts("", "Succeeded", {"a": "1"}).values())


def test_lost_writes_are_named() -> None:
    checks = raft_logs.client_checks(client_log({"b": "2"}, {"b": "2"}), "Succeeded", {"a": "1"})
    lost = checks[-1]
    assert not lost["ok"]
    assert "0 of 1 keys; lost: a" in lost["evidence"]


def test_nothing_to_expect_is_no_proof_that_data_came_back() -> None:
    assert not client_verdicts(client_log({"b": "2"}, {"b": "2"}), "Succeeded", {})["earlier writes are still there"]


def test_newer_readings_replace_older_ones_of_the_same_incarnation() -> None:
    first = raft_logs.merge_logs({}, [{"node": "raft-0", "incarnation": "a", "text": "1"}])
    second = raft_logs.merge_logs(first, [{"node": "raft-0", "incarnation": "a", "text": "1\n2"}])
    third = raft_logs.merge_logs(second, [{"node": "raft-0", "incarnation": "b", "text": "3"}])
    assert raft_logs.logs_by_node(third) == {"raft-0": ["1\n2", "3"]}


def test_fail_over_is_timed_from_the_leaders_end() -> None:
    logs = {"raft-1": [line("became_leader", "raft-1", 2)]}
    assert raft_logs.failover_ms(logs, "2025-12-31T23:59:59.500000+00:00") == 500
    assert raft_logs.failover_ms(logs, "2026-01-01T00:00:01+00:00") is None
