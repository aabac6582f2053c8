"""A node of PySyncObj that generates its own load: a worker that serves one request at a time."""

import argparse
import json
import queue
import sys
import threading
import time
from typing import Any

import psutil
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from raft_testbed.bench import Window, collecting
from tests.benchmarks.driver import PROBE_SECONDS, plan_from
from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.processes import reply

TICK_SECONDS = 0.05
RETRY_SECONDS = 0.01


class Store(SyncObj):
    """A dictionary with replicated writes. Reads would be local and possibly stale, so there are none."""

    def __init__(self, address: str, others: list[str], configuration: SyncObjConf) -> None:
        self.data: dict[str, bytes] = {}
        super().__init__(address, others, configuration)

    @replicated
    def put(self, key: str, value: bytes) -> None:
        self.data[key] = value


class Node:
    """Runs the store's event loop in the main thread, and serves the requests on stdin."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._requests: queue.Queue[str] = queue.Queue()
        self._probed: list[tuple[int, int]] | None = None
        self._next_probe = 0.0
        threading.Thread(target=self._read, daemon=True).start()

    def run(self) -> None:
        reply({"ready": True})
        while True:
            self._run_iteration()
            try:
                line = self._requests.get_nowait()
            except queue.Empty:
                continue
            if not line:
                return
            try:
                reply(self._handle(json.loads(line)))
            except BenchmarkError as error:
                reply({"error": str(error)})

    def _read(self) -> None:
        for line in sys.stdin:
            self._requests.put(line)
        self._requests.put("")

    def _handle(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "leader":
                leader = self._store.getStatus()["leader"]
                return {"leader": None if leader is None else leader.id}
            case "measure":
                return self._measure(request["plan"])
            case "fill":
                return self._fill(request["plan"])
            case "probe":
                self._probed = []
                return {}
            case "probed":
                return {"count": len(self._probed or ())}
            case "stop":
                probed, self._probed = self._probed, None
                return probed or []
        raise BenchmarkError(f"unknown request: {request['do']}")

    def _run_iteration(self) -> None:
        if self._probed is None:
            self._store.doTick(TICK_SECONDS)
            return
        now = time.monotonic()
        if now >= self._next_probe:
            self._next_probe = now + PROBE_SECONDS
            self._probe(self._probed)
        self._store.doTick(max(0.0, self._next_probe - now))

    def _probe(self, probed: list[tuple[int, int]]) -> None:
        began = time.monotonic_ns()

        def done(_result: object, failure: int) -> None:
            if failure == FAIL_REASON.SUCCESS:
                probed.append((began, time.monotonic_ns()))

        self._store.put("probe", b"value", callback=done)

    def _measure(self, content: dict[str, Any]) -> dict[str, Any]:
        plan = plan_from(content)
        processes = [psutil.Process(number) for number in plan.processes]
        operations, value, clock = (
            plan.mix.operations(plan.key_names, plan.outstanding),
            plan.value,
            time.perf_counter_ns,
        )
        window, stopping, outstanding = Window(processes), False, 0

        def put() -> None:
            nonlocal outstanding
            outstanding += 1
            began = clock()

            def done(_result: object, failure: int) -> None:
                nonlocal outstanding
                outstanding -= 1
                if failure == FAIL_REASON.SUCCESS:
                    window.record_write(began, clock())
                else:
                    window.failed += 1
                if not stopping:
                    put()

            self._store.put(next(operations)[1], value, callback=done)

        with collecting(plan.garbage_collection):
            for _ in range(plan.outstanding):
                put()
            self._tick_for(plan.warm_up_seconds)
            window = measured = Window(processes)
            self._tick_for(plan.seconds)
            measured.close()
            window, stopping = Window(()), True
            deadline = time.monotonic() + 10
            while outstanding and time.monotonic() < deadline:
                self._store.doTick(RETRY_SECONDS)
        return measured.measurement(plan).to_json()

    def _fill(self, content: dict[str, Any]) -> dict[str, float]:
        plan = plan_from(content)
        began = time.monotonic()
        remaining, value = iter(plan.key_names), plan.value
        outstanding = 0

        def put() -> None:
            nonlocal outstanding
            key = next(remaining, None)
            if key is not None:
                outstanding += 1
                self._store.put(key, value, callback=done)

        def done(_result: object, failure: int) -> None:
            nonlocal outstanding
            outstanding -= 1
            if failure != FAIL_REASON.SUCCESS:
                raise BenchmarkError(f"a put failed: PySyncObj's FAIL_REASON {failure}")
            put()

        for _ in range(plan.outstanding):
            put()
        while outstanding:
            self._store.doTick(TICK_SECONDS)
        return {"seconds": time.monotonic() - began}

    def _tick_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._store.doTick(min(left, TICK_SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("others", nargs="*")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--election-ms", nargs=2, type=int)
    parser.add_argument("--heartbeat-ms", type=int)
    arguments = parser.parse_args()
    times: dict[str, float] = {}
    if arguments.election_ms:
        low, high = arguments.election_ms
        times = {"raftMinTimeout": low / 1000, "raftMaxTimeout": high / 1000}
        times["appendEntriesPeriod"] = min(arguments.heartbeat_ms, low / 3 - 1) / 1000  # it requires less than a third
    configuration = SyncObjConf(
        autoTick=False,
        journalFile=arguments.journal,
        fullDumpFile=f"{arguments.journal}.dump",
        appendEntriesUseBatch=False,  # with it, entries wait for the next heartbeat
        **times,
    )
    Node(Store(arguments.address, arguments.others, configuration)).run()


if __name__ == "__main__":
    main()
