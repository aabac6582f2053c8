"""Time without an acknowledged write when the leader is killed, paused, or transfers leadership (target 5)."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.pysyncobj import PySyncObj
from tests.benchmarks.systems.raft import RaftPkg
from tests.benchmarks.systems.system import SAME_TIMING, System

BEFORE_SECONDS = 0.5
AFTER_SECONDS = 2.5
Trial = Callable[[System], float]


def failover(session: Session) -> None:
    """Alternate between the systems, so that a disturbance of the machine affects all."""
    with session.paused(
        "failover", *(partial(each, timing=SAME_TIMING) for each in (RaftPkg, Etcd, PySyncObj))
    ) as all_:
        shares = {RaftPkg: 1, Etcd: 3, PySyncObj: 3}
        for number in range(session.extent.failovers):
            for system in all_:
                if number % shares[type(system)] == 0:
                    _try(session, system, "kill", number, _kill)
        for number in range(max(1, session.extent.failovers // 3)):
            for system in all_:
                if not isinstance(system, PySyncObj):
                    _try(session, system, "pause", number, _pause)
                    _try(session, system, "transfer", number, _transfer)


def _try(session: Session, system: System, what: str, number: int, trial: Trial) -> None:
    with system.only():
        milliseconds = trial(system)
    session.record("failover", system.name, number + 1, what=what, milliseconds=milliseconds)
    session.log(f"failover: {system.name}, {what} {number + 1}: {milliseconds:.0f} ms")


def _kill(system: System) -> float:
    leader = system.wait_for_leader()
    process_id = system.process_ids()[leader]
    with system.probe() as probe:
        probe.wait()
        time.sleep(BEFORE_SECONDS)
        at = time.monotonic_ns()
        os.kill(process_id, signal.SIGKILL)
        time.sleep(AFTER_SECONDS)
        probed = probe.stop()
    system.kill(leader)
    system.start()
    return _first_after(probed, at)


def _pause(system: System) -> float:
    process_id = system.process_ids()[system.wait_for_leader()]
    with system.probe() as probe:
        probe.wait()
        time.sleep(BEFORE_SECONDS)
        at = time.monotonic_ns()
        os.kill(process_id, signal.SIGSTOP)
        try:
            time.sleep(AFTER_SECONDS)
            probed = probe.stop()
        finally:
            os.kill(process_id, signal.SIGCONT)
    return _first_after(probed, at)


def _transfer(system: System) -> float:
    """Return the longest time without an acknowledgement, from the request until one second after the transfer."""
    with system.probe() as probe:
        probe.wait()
        time.sleep(BEFORE_SECONDS)
        at = time.monotonic_ns()
        system.transfer()
        time.sleep(1)
        until = time.monotonic_ns()
        probed = probe.stop()
    return longest_gap_ms(probed, at, until)


def _first_after(probed: Sequence[tuple[int, int]], at: int) -> float:
    """Return the milliseconds until the first acknowledgement of a write that started after the signal."""
    ends = [ended for began, ended in probed if began > at]
    if not ends:
        raise BenchmarkError(f"no write was acknowledged within {AFTER_SECONDS:g} s")
    return (min(ends) - at) / 1e6


def longest_gap_ms(probed: Sequence[tuple[int, int]], since: int, until: int) -> float:
    """Return the longest time between two acknowledgements, or one and an end of the window, in milliseconds."""
    moments = [since, *sorted(ended for _, ended in probed if since < ended < until), until]
    return max(later - earlier for earlier, later in itertools.pairwise(moments)) / 1e6
