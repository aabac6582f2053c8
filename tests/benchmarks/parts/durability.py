"""Durability of acknowledged writes: strace counts system calls while one write at a time is outstanding.

With one outstanding write, no writes share a sync, so a majority of three nodes syncs at least twice for each.
"""

import re
import shutil
import signal
import subprocess
import time

from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.processes import launch
from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.pysyncobj import PySyncObj
from tests.benchmarks.systems.raft import RaftPkg
from tests.benchmarks.systems.system import System

ATTACH_SECONDS = 1.0
_ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*\b(?:fsync|fdatasync|msync|sync_file_range)$", re.MULTILINE)


def durability(session: Session) -> None:
    """Count syncs. Raise `BenchmarkError` if raft_pkg or etcd acknowledges a write that is not on disk."""
    if shutil.which("strace") is None:
        raise MissingError("strace is not installed: apt-get install strace")
    with session.paused("durability", RaftPkg, Etcd, PySyncObj) as systems:
        for system in systems:
            with system.only():
                acknowledged, syncs = _counted(session, system)
            session.record("durability", system.name, 1, acknowledged=acknowledged, syncs=syncs)
            if not isinstance(system, PySyncObj) and syncs < 2 * acknowledged:
                raise BenchmarkError(f"{system.name} acknowledged {acknowledged} writes with {syncs} syncs on 3 nodes")


def _counted(session: Session, system: System) -> tuple[int, int]:
    """Return the numbers of acknowledged writes and of syncs of all nodes in slightly more than that time."""
    outputs = []
    tracers: list[subprocess.Popen[str]] = []
    try:
        for number in system.process_ids().values():
            output = session.directory / f"strace-{system.name}-{number}"
            command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o", str(output)]
            tracers.append(launch([*command, "-p", str(number)], session.directory / "strace.log"))
            outputs.append(output)
        time.sleep(ATTACH_SECONDS)
        for tracer in tracers:
            if tracer.poll() is not None:
                raise BenchmarkError(f"strace can't attach to {system.name}; see {session.directory / 'strace.log'}")
        found = system.measure(session.plan("put", 1, seconds=2.0))
    finally:
        for tracer in tracers:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
    return found["count"], sum(int(calls) for output in outputs for calls in _ROW.findall(output.read_text()))
