"""Throughput and latency against outstanding operations: writes, reads and mixes (targets 1 and 2)."""

from functools import partial

from tests.benchmarks.errors import MissingError
from tests.benchmarks.session import Session
from tests.benchmarks.systems.etcd import Etcd
from tests.benchmarks.systems.pysyncobj import PySyncObj
from tests.benchmarks.systems.raft import RaftPkg

OUTSTANDING = (1, 16, 64, 256)
MIXES = ("90/10", "50/50")


def writes(session: Session) -> None:
    """Measure puts of 256 bytes on 1,000 keys."""
    with session.paused("writes", RaftPkg, Etcd, PySyncObj) as systems:
        for number, system in session.rounds(systems):
            for outstanding in OUTSTANDING:
                session.measure("writes", system, number, session.plan("put", outstanding))
            if isinstance(system, Etcd):
                _ceiling(session, system, number)


def _ceiling(session: Session, etcd: Etcd, number: int) -> None:
    """Measure etcd with a client of negligible cost."""
    try:
        for outstanding in OUTSTANDING:
            found = etcd.measure_with_h2load(session.plan("put", outstanding))
            session.record("writes", "etcd, h2load", number, **found)
    except MissingError as error:
        session.note("writes", "etcd, h2load", str(error))


def reads(session: Session) -> None:
    """Measure linearizable gets by the leader and by any node, with leases, and mixed with writes."""
    with session.paused("reads", RaftPkg, partial(RaftPkg, lease_reads=True), Etcd) as systems:
        for number, system in session.rounds(systems):
            with_leases = isinstance(system, RaftPkg) and system.lease_reads
            for outstanding in (1, 256) if with_leases else OUTSTANDING:
                session.measure("reads", system, number, session.plan("get", outstanding), lease=with_leases)
            if with_leases:
                continue
            if isinstance(system, RaftPkg):
                session.measure("reads", system, number, session.plan("any-get", 256), lease=False)
            for mix in MIXES:
                session.measure("reads", system, number, session.plan(mix, 256), lease=False)
