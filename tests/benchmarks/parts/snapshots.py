"""Whether writes stall while a state of 100 MB is snapshotted (target 3)."""

from tests.benchmarks.errors import BenchmarkError
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RaftPkg

VALUE_BYTES = 4096
KEYS_AT_ONCE = 64


def snapshots(session: Session) -> None:
    """Fill, then write until the next snapshot of all of it: it comes when as much has been written as it has bytes."""
    extent = session.extent
    keys = {"keys": extent.snapshot_keys, "value_bytes": VALUE_BYTES}
    with session.running("snapshots", RaftPkg) as system:
        assert isinstance(system, RaftPkg)
        system.fill(session.plan("put", KEYS_AT_ONCE, **keys), 300)
        for outstanding in (16, 256):
            before = len(system.events("snapshot_taken"))
            found = system.measure(session.plan("put", outstanding, **keys, seconds=extent.snapshot_seconds))
            taken = system.events("snapshot_taken")[before:]
            if not taken:
                raise BenchmarkError(f"no snapshot was taken within {extent.snapshot_seconds:g} s of writes")
            session.record("snapshots", system.name, 1, **found, snapshots=[event["bytes"] for event in taken])
            session.say(
                f"snapshots: {len(taken)} taken, longest gap {found['longest_gap_ms']:.0f} ms "
                f"with {outstanding} at a time"
            )
