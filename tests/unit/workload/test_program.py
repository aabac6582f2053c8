"""A workload against a store that does what a test wants: what is recorded is what happened, as far as known."""

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
from raft_testbed.workload import program
from raft_testbed.workload.program import Settings, Workload
from raft_testbed.workload.recorder import Recorder, Tee

SETTINGS = Settings(["127.0.0.1:1"], "run", clients=4, rate=0, seconds=0.2, keys=3, seed=1, final_reads_seconds_max=0.5)


@dataclass
class Store:
    """A store in memory; `trouble` is asked before each operation, and may raise or wait."""

    values: dict[str, bytes] = field(default_factory=dict)

    async def trouble(self) -> None:
        await asyncio.sleep(0.001)

    async def before(self) -> None:
        await self.trouble()

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


async def test_what_a_sound_store_did_is_linearizable(monkeypatch: pytest.MonkeyPatch) -> None:
    status, lines = await run(monkeypatch, Store())
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


async def test_every_key_is_read_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = await run(monkeypatch, Store())
    events = [line["event"] for line in lines]
    last = operations(lines)[-3:]
    assert events[-8:] == ["final_reads_started", *["operation"] * 6, "workload_finished"]
    assert [(o.f, o.key, o.outcome) for o in last] == [("read", f"run/{number}", "ok") for number in range(3)]
    assert lines[-1]["final_reads"] is True


async def test_final_reads_wait_for_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def during(workload: Workload) -> None:
        await asyncio.sleep(0.05)
        refusals = iter([OperationFailedError("no leader")] * 2)

        async def refuse_twice() -> None:
            for refusal in refusals:
                raise refusal

        workload.enough()
        store.trouble = refuse_twice  # type: ignore[method-assign]

    status, lines = await run(monkeypatch, store, replace(SETTINGS, final_reads_seconds_max=20.0), during)
    assert status == 0
    assert lines[-1]["final_reads"] is True


async def test_final_reads_that_never_succeed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def during(workload: Workload) -> None:
        await asyncio.sleep(0.05)

        async def refuse() -> None:
            raise OperationFailedError("no leader")

        store.trouble = refuse  # type: ignore[method-assign]

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
async def test_outcomes_are_three(monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str) -> None:
    store = Store()
    troubles = iter([None, None, error] * 1000)

    async def trouble() -> None:
        await asyncio.sleep(0.001)
        failure = next(troubles)
        if failure is not None:
            raise failure

    store.trouble = trouble  # type: ignore[method-assign]
    _, lines = await run(monkeypatch, store)
    done = [o for o in operations(lines) if o.error is not None and not o.claims_mismatch]
    assert {(o.outcome, o.error) for o in done} == {(kind, str(error))}
    assert lines[-1]["failed" if kind == "fail" else "unknown"] == len(done)
    if kind == "info":
        processes = [o.process for o in done]
        assert len(set(processes)) == len(processes)


async def test_an_interrupt_leaves_what_is_under_way_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def never() -> None:
        await asyncio.Event().wait()

    store.trouble = never  # type: ignore[method-assign]

    async def during(workload: Workload) -> None:
        await asyncio.sleep(0.05)
        workload.interrupt("SIGTERM")

    status, lines = await run(monkeypatch, store, replace(SETTINGS, seconds=0), during)
    assert status == 3
    assert [(o.outcome, o.error) for o in operations(lines)] == [("info", "interrupted")] * 4
    finished = lines[-1]
    assert (finished["unknown"], finished["interrupted"], finished["final_reads"]) == (4, "SIGTERM", None)


async def test_nothing_that_succeeded_is_not_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()

    async def refuse() -> None:
        raise OperationFailedError("no leader")

    store.trouble = refuse  # type: ignore[method-assign]
    status, _ = await run(monkeypatch, store, replace(SETTINGS, final_reads=False))
    assert status == 3


async def test_turns_come_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock that the pace itself reads: no more turns than the rate allows in the time that passed."""
    now, slept = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(program.time, "monotonic", lambda: now)
    monkeypatch.setattr(program.asyncio, "sleep", sleep)
    pace = program._Pace(10.0)
    for _ in range(21):
        await pace.run_iteration()
    assert now == pytest.approx(2.0)
    now += 60  # held up: the turns of that time are lost
    slept.clear()
    for _ in range(12):
        await pace.run_iteration()
    assert sum(slept) == pytest.approx(1.0)
