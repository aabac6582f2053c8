"""Memory per key, its growth under writes, and a restart with all keys (targets 6 and 7)."""

from tests.benchmarks.parts.restart import milliseconds_to_first_write
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RaftPkg

FILL_OUTSTANDING = 256
FILL_SECONDS_MAX = 900


def memory(session: Session) -> None:
    """Measure the largest node's resident memory: empty, full, after overwriting, and after a restart."""
    extent = session.extent
    keys = {"keys": extent.memory_keys}
    with session.running("memory", RaftPkg) as system:
        empty = max(system.resident_bytes().values())
        session.log(f"memory: filling with {extent.memory_keys:,} keys")
        seconds = system.fill(session.plan("put", FILL_OUTSTANDING, **keys), FILL_SECONDS_MAX)
        full = max(system.resident_bytes().values())
        overwritten = system.measure(session.plan("put", FILL_OUTSTANDING, **keys, seconds=extent.memory_seconds))
        later = max(system.resident_bytes().values())
        milliseconds = milliseconds_to_first_write(system)
        restarted = max(system.resident_bytes().values())
    session.record(
        "memory",
        system.name,
        1,
        keys=extent.memory_keys,
        fill_seconds=seconds,
        empty_bytes=empty,
        full_bytes=full,
        bytes_per_key=(full - empty) / extent.memory_keys,
        overwrite_seconds=extent.memory_seconds,
        overwritten_bytes=later,
        overwritten=overwritten,
        restart_milliseconds=milliseconds,
        restarted_bytes=restarted,
    )
