"""The unary KeyValue service, compared with a unary server that does nothing (target 8)."""

import subprocess
import sys
import time
from pathlib import Path

from raft_pkg.local.ports import HOST, choose_ports, is_free
from tests.benchmarks import processes
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RaftPkg
from tests.benchmarks.systems.system import drive, measurement_seconds_max, wait_until

OUTSTANDING = 64


def unary(session: Session) -> None:
    """Measure the same calls of the same client to the leader and to the echo server."""
    log = session.directory / "unary.log"
    (port,) = choose_ports(1)
    with session.paused("unary", RaftPkg) as (system,):
        assert isinstance(system, RaftPkg)
        echo = _start_echo(port, log)
        try:
            for number in range(1, session.extent.rounds + 1):
                processes.pause([echo.pid])
                with system.only():
                    _measure(session, "KeyValue.Put", system.leader_endpoint, number, log)
                processes.resume([echo.pid])
                _measure(session, "echo", f"{HOST}:{port}", number, log)
        finally:
            processes.end(echo)


def _start_echo(port: int, log: Path) -> "subprocess.Popen[str]":
    echo = processes.launch([sys.executable, "-m", "tests.benchmarks.echo", f"{HOST}:{port}"], log)
    wait_until(lambda: not is_free(port), "the echo server does not listen")
    time.sleep(0.2)
    return echo


def _measure(session: Session, name: str, endpoint: str, number: int, log: Path) -> None:
    plan = session.plan("put", OUTSTANDING)
    found = drive(log, "measure", "unary", [endpoint], plan, seconds_max=measurement_seconds_max(plan))
    session.record("unary", name, number, **found)
    session.log(f"unary, round {number}: {name} {found['per_second']:,.0f}/s")
