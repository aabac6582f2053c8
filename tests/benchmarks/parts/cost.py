"""CPU time of all processes per write, by size of the value and number of nodes (target 4)."""

from functools import partial

from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.raft import RaftPkg

VALUE_BYTES = (64, 256, 4096, 65536)
OUTSTANDING = 256


def cost(session: Session) -> None:
    """Measure three and five nodes of raft_pkg, and three of etcd."""
    with session.paused("cost", RaftPkg, partial(RaftPkg, nodes=5), Etcd) as systems:
        for number, system in session.rounds(systems):
            sizes = VALUE_BYTES if system.nodes == 3 and isinstance(system, RaftPkg) else (256,)
            for value_bytes in sizes:
                plan = session.plan("put", OUTSTANDING, value_bytes=value_bytes)
                session.measure("cost", system, number, plan, nodes=system.nodes)
