"""Checks that verify.yml makes of the logs of nodes and clients."""

import json
from typing import Any

from raft_testbed.verification import logs as collected
from raft_testbed.verification.checks import client_checks, leadership_checks


def line(event: str, node: str = "raft-0", term: int = 1, **fields: Any) -> str:
    return json.dumps({"ts": "2026-01-01T00:00:00.000000Z", "node": node, "event": event, "term": term, **fields})


def healthy(term: int = 1) -> dict[str, list[str]]:
    """Return the logs of three nodes, led by raft-0."""
    logs = {f"raft-{n}": [line("leader_changed", f"raft-{n}", term, leader="raft-0")] for n in range(3)}
    logs["raft-0"] = [line("became_leader", "raft-0", term) + "\n" + logs["raft-0"][0]]
    return logs


def verdicts(logs: dict[str, list[str]], replicas: int = 3, after_term: int = 0) -> dict[str, bool]:
    return {item["name"]: item["ok"] for item in leadership_checks(logs, replicas, after_term)}


def test_a_healthy_cluster_passes() -> None:
    assert all(verdicts(healthy()).values())


def test_lines_that_are_not_events_are_skipped() -> None:
    text = "I0000 a message of grpc\n[1, 2]\n{torn\n" + line("became_leader") + "\n"
    assert [event["event"] for event in collected.all_events({"raft-0": [text]})] == ["became_leader"]


def test_two_leaders_in_one_term_of_an_earlier_incarnation() -> None:
    logs = healthy(term=2)
    logs["raft-1"].insert(0, line("became_leader", "raft-1", 1))
    logs["raft-2"].insert(0, line("became_leader", "raft-2", 1))
    found = verdicts(logs)
    assert not found["at most one leader in each term"]
    assert found["exactly one leader in the latest term"]


def test_no_leader_fails_with_the_last_lines_as_evidence() -> None:
    logs = {f"raft-{n}": [line("election_started", f"raft-{n}")] for n in range(3)}
    checks = {item["name"]: item for item in leadership_checks(logs, 3)}
    assert not checks["exactly one leader in the latest term"]["ok"]
    assert "election_started" in checks["exactly one leader in the latest term"]["evidence"]


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


def test_a_leader_followed_before_a_restart_does_not_count() -> None:
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
    return {item["name"]: item["ok"] for item in client_checks(log, outcome, expected)}


def test_a_client_that_wrote_and_read_back_passes() -> None:
    assert all(client_verdicts(client_log({"a": "1"}, {"a": "1"})).values())


def test_a_client_without_writes_fails() -> None:
    found = client_verdicts(client_log({}, {}, ok=0))
    assert not found["the writes were acknowledged"]
    assert not found["the written values were read back"]


def test_a_value_that_is_not_read_back_fails() -> None:
    assert not client_verdicts(client_log({"a": "1"}, {"a": "2"}))["the written values were read back"]
    assert not client_verdicts(client_log({"a": "1"}, {}))["the written values were read back"]


def test_an_unknown_outcome_or_a_failed_pod_fails() -> None:
    assert not client_verdicts(client_log({"a": "1"}, {"a": "1"}, unknown=1))["the client succeeded"]
    assert not client_verdicts(client_log({"a": "1"}, {"a": "1"}), "Failed")["the client succeeded"]


def test_an_empty_log_fails_every_check() -> None:
    assert not any(client_verdicts("", "Succeeded", {"a": "1"}).values())


def test_lost_writes_are_named() -> None:
    checks = client_checks(client_log({"b": "2"}, {"b": "2"}), "Succeeded", {"a": "1"})
    lost = checks[-1]
    assert not lost["ok"]
    assert "0 of 1 keys; lost: a" in lost["evidence"]


def test_no_earlier_write_shows_nothing() -> None:
    assert not client_verdicts(client_log({"b": "2"}, {"b": "2"}), "Succeeded", {})["earlier writes are still readable"]


def test_a_newer_reading_replaces_the_older_one_of_its_incarnation() -> None:
    first = collected.merge_logs({}, [{"node": "raft-0", "incarnation": "a", "text": "1"}])
    second = collected.merge_logs(first, [{"node": "raft-0", "incarnation": "a", "text": "1\n2"}])
    third = collected.merge_logs(second, [{"node": "raft-0", "incarnation": "b", "text": "3"}])
    assert collected.logs_by_node(third) == {"raft-0": ["1\n2", "3"]}


def test_failover_is_measured_from_the_end_of_the_leader() -> None:
    logs = {"raft-1": [line("became_leader", "raft-1", 2)]}
    assert collected.failover_ms(logs, "2025-12-31T23:59:59.500000+00:00") == 500
    assert collected.failover_ms(logs, "2026-01-01T00:00:01+00:00") is None
