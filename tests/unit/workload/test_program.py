"""A workload on a store in memory that fails on demand: the history records what happened."""

import asyncio
import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from raft_pkg.client import CompareAndSetResult, InvalidOperationError, OperationFailedError, OutcomeUnknownError
from raft_pkg.events import EventLog
from raft_testbed.checker.linearizability import Verdict, check_history
from raft_testbed.history import read_history
from raft_testbed.workload import pacer, program
from raft_testbed.workload.pacer import Pacer
from raft_testbed.workload.program import Workload
from raft_testbed.workload.recorder import Recorder, Tee
from raft_testbed.workload.settings import Settings

SETTINGS = Settings(["127.0.0.1:1"], "run", clients=4, rate=0, seconds=0.2, keys=3, seed=1, final_reads_seconds_max=0.5)


@dataclass
class Store:
    """A store in memory; `fault` runs before each operation, and may raise or wait."""

    values: dict[str, bytes] = field(default_factory=dict)
    calls: int = 0
    milestones: dict[int, asyncio.Event] = field(default_factory=dict)

    async def fault(self) -> None:
        await asyncio.sleep(0.001)

    async def before(self) -> None:
        self.calls += 1
        if self.calls in self.milestones:
            self.milestones[self.calls].set()
        await self.fault()

    def client(self, _endpoints: object) -> "Client":
        return Client(self)


class Client:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing to close."""

    async def get(self, key: str, **_timeout: float) -> bytes | None:
        await self._store.before()
        return self._store.values.get(key)

    async def put(self, key: str, value: str, **_timeout: float) -> int:
        await self._store.before()
        self._store.values[key] = value.encode()
        return 1

    async def append(self, key: str, value: str, **_timeout: float) -> int:
        await self._store.before()
        self._store.values[key] = self._store.values.get(key, b"") + value.encode()
        return len(self._store.values[key])

    async def delete(self, key: str, **_timeout: float) -> bool:
        await self._store.before()
        return self._store.values.pop(key, None) is not None

    async def compare_and_set(self, key: str, old: str | None, new: str, **_timeout: float) -> CompareAndSetResult:
        await self._store.before()
        current = self._store.values.get(key)
        if current != (None if old is None else old.encode()):
            return CompareAndSetResult(False, current, 1)
        self._store.values[key] = new.encode()
        return CompareAndSetResult(True, None, 1)


async def wait_for_calls(store: Store, count: int) -> None:
    await store.milestones.setdefault(count, asyncio.Event()).wait()


async def run(
    monkeypatch: pytest.MonkeyPatch, store: Store, settings: Settings = SETTINGS, during: Any = None
) -> tuple[int, list[dict[str, Any]]]:
    monkeypatch.setattr(program, "AsyncRaftClient", store.client)
    stream = io.StringIO()
    workload = Workload(settings, Recorder(EventLog("client", Tee(stream))))
    running = asyncio.create_task(workload.run())
    if during is not None:
        await during(workload)
    return await running, [json.loads(line) for line in stream.getvalue().splitlines()]


def operations(lines: list[dict[str, Any]]) -> list[Any]:
    return read_history(map(json.dumps, lines))


async def test_the_history_of_a_correct_store_is_linearizable(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def during(workload: Workload) -> None:
        await wait_for_calls(store, 400)
        workload.finish()

    status, lines = await run(monkeypatch, store, replace(SETTINGS, seconds=0), during)
    assert status == 0
    assert [line["n"] for line in lines] == list(range(len(lines)))
    assert lines[0]["event"] == "workload_started"
    assert lines[-1]["event"] == "workload_finished"
    done = operations(lines)
    assert lines[-1]["ok"] == sum(o.outcome == "ok" for o in done) > 50
    assert {o.f for o in done} == {"read", "write", "cas", "append", "delete"}
    assert {o.process for o in done} == {0, 1, 2, 3}
    assert check_history(done).verdict is Verdict.OK


async def test_readers_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, readers=2, mix={"write": 1}, final_reads=False)
    _, lines = await run(monkeypatch, Store(), settings)
    assert {(o.process, o.f) for o in operations(lines)} == {(0, "read"), (1, "read"), (2, "write"), (3, "write")}


async def test_every_key_is_read_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = await run(monkeypatch, Store())
    events = [line["event"] for line in lines]
    last = operations(lines)[-3:]
    assert events[-8:] == ["final_reads_started", *["operation"] * 6, "workload_finished"]
    assert [(o.f, o.key, o.outcome) for o in last] == [("read", f"run/{number}", "ok") for number in range(3)]
    assert lines[-1]["final_reads"] is True


async def test_final_reads_wait_for_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def during(workload: Workload) -> None:
        await wait_for_calls(store, 20)
        refusals = iter([OperationFailedError("no leader")] * 2)

        async def refuse_twice() -> None:
            for refusal in refusals:
                raise refusal

        workload.finish()
        store.fault = refuse_twice  # type: ignore[method-assign]

    status, lines = await run(monkeypatch, store, replace(SETTINGS, final_reads_seconds_max=20.0), during)
    assert status == 0
    assert lines[-1]["final_reads"] is True


async def test_final_reads_without_success_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def during(workload: Workload) -> None:
        await wait_for_calls(store, 20)

        async def refuse() -> None:
            raise OperationFailedError("no leader")

        store.fault = refuse  # type: ignore[method-assign]

    status, lines = await run(monkeypatch, store, during=during)
    assert status == 3
    assert lines[-1]["final_reads"] is False


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationFailedError("no leader"), "fail"),
        (InvalidOperationError("too large"), "fail"),
        (OutcomeUnknownError("deadline passed"), "info"),
    ],
)
async def test_errors_map_to_outcomes(monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str) -> None:
    store = Store()
    faults = iter([None, None, error] * 1000)

    async def fault() -> None:
        await asyncio.sleep(0.001)
        failure = next(faults)
        if failure is not None:
            raise failure

    store.fault = fault  # type: ignore[method-assign]
    _, lines = await run(monkeypatch, store)
    done = [o for o in operations(lines) if o.error is not None and not o.claims_mismatch]
    assert {(o.outcome, o.error) for o in done} == {(kind, str(error))}
    assert lines[-1]["failed" if kind == "fail" else "unknown"] == len(done)
    if kind == "info":
        processes = [o.process for o in done]
        assert len(set(processes)) == len(processes)


async def test_an_interrupt_makes_pending_operations_indeterminate(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def never() -> None:
        await asyncio.Event().wait()

    store.fault = never  # type: ignore[method-assign]

    async def during(workload: Workload) -> None:
        await wait_for_calls(store, 4)
        workload.interrupt("SIGTERM")

    status, lines = await run(monkeypatch, store, replace(SETTINGS, seconds=0), during)
    assert status == 3
    assert [(o.outcome, o.error) for o in operations(lines)] == [("info", "interrupted")] * 4
    finished = lines[-1]
    assert (finished["unknown"], finished["interrupted"], finished["final_reads"]) == (4, "SIGTERM", None)


async def test_a_workload_without_success_ends_with_status_3(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def refuse() -> None:
        raise OperationFailedError("no leader")

    store.fault = refuse  # type: ignore[method-assign]
    status, _ = await run(monkeypatch, store, replace(SETTINGS, final_reads=False))
    assert status == 3


async def test_operations_are_paced_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a simulated clock: no more operations than the rate allows."""
    now, slept = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(pacer.time, "monotonic", lambda: now)
    monkeypatch.setattr(pacer.asyncio, "sleep", sleep)
    paced = Pacer(10.0)
    for _ in range(21):
        await paced.wait()
    assert now == pytest.approx(2.0)
    now += 60  # a delay: operations due in that time are dropped
    slept.clear()
    for _ in range(12):
        await paced.wait()
    assert sum(slept) == pytest.approx(1.0)
