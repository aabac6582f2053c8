"""The record of a fault, from the scenario to the report."""

from typing import Any

import pytest

from raft_testbed.faults import Evidence, FaultRecord, FaultRecordError


def test_a_complete_record_survives_json() -> None:
    record = FaultRecord(
        "kill",
        target="leader",
        targets=["raft-1"],
        seconds=0.0,
        options={"signal": "KILL"},
        seed="7/1",
        injected_at=1_800_000_000.25,
        healed_at=1_800_000_003.5,
        recovered_at=1_800_000_004.0,
        unavailability_slo_seconds=0.9,
        evidence=[Evidence("another leader", None, "no status")],
        data_lost=["raft-1"],
        leader_before="raft-1",
        term_before=2,
        leader_after="raft-2",
        term_after=3,
    )
    record.check_complete()
    assert FaultRecord.from_json(record.to_json()) == record
    assert record.to_json()["injected_at"] == "2027-01-15T08:00:00.250000Z"
    assert str(record) == "kill of raft-1"


def test_members_with_their_default_are_left_out() -> None:
    assert FaultRecord("kill").to_json() == {"fault": "kill"}


def test_a_skipped_record_needs_no_times() -> None:
    FaultRecord.from_json({"fault": "clock-jump", "skipped": "one wall clock"}).check_complete()


def test_an_injected_record_needs_all_times() -> None:
    record = FaultRecord.from_json({"fault": "kill", "injected_at": "2027-01-15T08:00:00Z"})
    with pytest.raises(FaultRecordError, match="'healed_at' is missing"):
        record.check_complete()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "fault: list instead of an object"),
        ({"target": "leader"}, "'fault' is missing"),
        ({"fault": "kill", "began": 1}, "fault: unknown member: began; known: data_lost, "),
        ({"fault": "kill", "seconds": "3"}, "'seconds' is '3', not of type int or float"),
        ({"fault": "kill", "term_before": True}, "'term_before' is True, not of type int"),
        ({"fault": "kill", "healed_at": "noon"}, "'healed_at': Invalid isoformat string"),
        ({"fault": "kill", "evidence": [{"expected": "x", "holds": True}]}, "'observed' is missing"),
        (
            {"fault": "kill", "evidence": [{"expected": "x", "observed": "y", "holds": 1}]},
            "'holds' is 1, not a boolean",
        ),
    ],
)
def test_a_malformed_record_is_rejected(content: Any, message: str) -> None:
    with pytest.raises(FaultRecordError, match=message):
        FaultRecord.from_json(content)
