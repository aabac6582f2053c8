"""Longest gap between writes while a snapshot of 100 MB is taken (target 3)."""

from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RaftPkg

VALUE_BYTES = 4096
FILL_OUTSTANDING = 64


def snapshots(session: Session) -> None:
    """Fill the store, then write until snapshots are taken: one is due after as many bytes as the state has."""
    extent = session.extent
    keys = {"keys": extent.snapshot_keys, "value_bytes": VALUE_BYTES}
    with session.running("snapshots", RaftPkg) as system:
        assert isinstance(system, RaftPkg)
        system.fill(session.plan("put", FILL_OUTSTANDING, **keys), 300)
        for outstanding in (16, 256):
            before = len(system.events("snapshot_taken"))
            found = system.measure(session.plan("put", outstanding, **keys, seconds=extent.snapshot_seconds))
            taken = system.events("snapshot_taken")[before:]
            if not taken:
                raise BenchmarkError(f"no snapshot was taken within {extent.snapshot_seconds:g} s of writes")
            session.record("snapshots", system.name, 1, **found, snapshots=[event["bytes"] for event in taken])
            session.log(
                f"snapshots: {len(taken)} taken, longest gap {found['longest_gap_ms']:.0f} ms "
                f"with {outstanding} outstanding"
            )
