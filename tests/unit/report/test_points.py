"""Points and rates of the operations that a report plots."""

from raft_testbed.history import MISMATCH, Operation
from raft_testbed.report.points import points_of, rates_of, thin_out


def operation(number: int, *, seconds: float = 0.001, outcome: str = "ok", error: str | None = None) -> Operation:
    called = 1_000_000_000_000 + number * 10_000_000
    completed = None if outcome == "info" else number * 2 + 1
    return Operation(
        number,
        "cas" if error else "write",
        "x",
        ["a", "b"] if error else "v",
        number * 2,
        outcome,
        completed,
        error=error,
        invoked_at=called,
        completed_at=0 if outcome == "info" else called + int(seconds * 1e9),
    )


def test_a_point_is_at_the_time_of_its_outcome() -> None:
    (point,) = points_of([operation(100, seconds=0.25)], 1000.0, 1010.0)
    assert point.at == 1.25
    assert point.latency_ms == 250.0


def test_an_operation_without_an_outcome_is_at_the_end_of_the_run() -> None:
    (point,) = points_of([operation(0, outcome="info")], 1000.0, 1010.0)
    assert (point.at, point.latency_ms, point.outcome) == (10.0, 10_000.0, "info")


def test_a_cas_with_a_mismatch_is_plotted_as_ok() -> None:
    (point,) = points_of([operation(0, outcome="fail", error=MISMATCH)], 1000.0, 1010.0)
    assert point.outcome == "ok"


def test_unsuccessful_and_slow_operations_are_kept() -> None:
    operations = [operation(number, seconds=1.0 if number == 500 else 0.001) for number in range(1000)]
    operations[700] = operation(700, outcome="info")
    points = points_of(operations, 1000.0, 1020.0)
    kept = thin_out(points, 50)
    assert len(kept) == 50
    assert {500, 700} <= {point.operation.process for point in kept}
    assert [point.at for point in kept] == sorted(point.at for point in kept)
    assert thin_out(points, 1000) == points


def test_rates_add_up_to_all_operations() -> None:
    points = points_of([operation(number) for number in range(1000)], 1000.0, 1010.0)
    rates = rates_of(points, 10.0)
    assert sum(rates.by_outcome["ok"]) * rates.width == 1000
    assert rates.by_outcome["ok"][4] == 100
    assert sum(rates.by_outcome["fail"]) == sum(rates.by_outcome["info"]) == 0
