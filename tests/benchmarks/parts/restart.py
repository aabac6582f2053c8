"""Time to the first acknowledged write after a restart of all nodes (target 6)."""

import time

from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.raft import RaftPkg
from tests.benchmarks.systems.system import System

FILL_OUTSTANDING = 64
FILL_SECONDS_MAX = 600
CLIENT_SECONDS = 1.0
"""Time between the start of the client and of the nodes, so that the client is already retrying."""


def restart(session: Session) -> None:
    """Kill all nodes of a filled cluster, and start them at the same time."""
    entries = session.extent.restart_entries
    with session.paused("restart", RaftPkg, Etcd) as systems:
        for system in systems:
            with system.only():
                session.log(f"restart: filling {system.name} with {entries:,} entries")
                system.fill(session.plan("put", FILL_OUTSTANDING, keys=entries), FILL_SECONDS_MAX)
        for number, system in session.rounds(systems):
            milliseconds = milliseconds_to_first_write(system)
            session.record("restart", system.name, number, entries=entries, milliseconds=milliseconds)
            session.log(f"restart, round {number}: {system.name} {milliseconds:.0f} ms")


def milliseconds_to_first_write(system: System) -> float:
    """Kill and start all nodes; return the milliseconds from their start to the first acknowledged write."""
    for node in system.process_ids():
        system.kill(node)
    with system.probe() as probe:
        time.sleep(CLIENT_SECONDS)
        began = time.monotonic_ns()
        system.start()
        probe.wait()
        probed = probe.stop()
    return (min(ended for _, ended in probed) - began) / 1e6
