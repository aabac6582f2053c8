"""How soon writes are acknowledged again when all nodes have died (target 6)."""

import time

from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.raft import RaftPkg
from tests.benchmarks.systems.system import System

FILL_AT_ONCE = 64
FILL_SECONDS_MAX = 600
CLIENT_SECONDS = 1.0
"""How long before the nodes the client is started: it has tried in vain by then."""


def restart(session: Session) -> None:
    """kill -9 of all three with so many entries, then all three started at once."""
    entries = session.extent.restart_entries
    with session.paused("restart", RaftPkg, Etcd) as systems:
        for system in systems:
            with system.only():
                session.say(f"restart: {system.name} is filled with {entries:,} entries")
                system.fill(session.plan("put", FILL_AT_ONCE, keys=entries), FILL_SECONDS_MAX)
        for number, system in session.rounds(systems):
            milliseconds = milliseconds_to_first_write(system)
            session.record("restart", system.name, number, entries=entries, milliseconds=milliseconds)
            session.say(f"restart, round {number}: {system.name} {milliseconds:.0f} ms")


def milliseconds_to_first_write(system: System) -> float:
    """From the start of the processes to the first acknowledged write; the cluster runs afterwards."""
    for node in system.process_ids():
        system.kill(node)
    with system.probe() as probe:
        time.sleep(CLIENT_SECONDS)
        began = time.monotonic_ns()
        system.start()
        probe.wait()
        probed = probe.stop()
    return (min(ended for _, ended in probed) - began) / 1e6
