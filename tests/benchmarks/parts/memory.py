"""Memory for a key, whether it grows under writes, and a restart with all of that (targets 6 and 7)."""

from tests.benchmarks.parts.restart import milliseconds_to_first_write
from tests.benchmarks.session import Session
from tests.benchmarks.systems.raft import RaftPkg

FILL_AT_ONCE = 256
FILL_SECONDS_MAX = 900


def memory(session: Session) -> None:
    """Resident bytes of the fullest node: empty, full, after writing over it for a while, after a restart."""
    extent = session.extent
    keys = {"keys": extent.memory_keys}
    with session.running("memory", RaftPkg) as system:
        empty = max(system.resident_bytes().values())
        session.say(f"memory: filling with {extent.memory_keys:,} keys")
        seconds = system.fill(session.plan("put", FILL_AT_ONCE, **keys), FILL_SECONDS_MAX)
        full = max(system.resident_bytes().values())
        written_over = system.measure(session.plan("put", FILL_AT_ONCE, **keys, seconds=extent.memory_seconds))
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
        bytes_a_key=(full - empty) / extent.memory_keys,
        written_over_seconds=extent.memory_seconds,
        written_over_bytes=later,
        written_over=written_over,
        restart_milliseconds=milliseconds,
        restarted_bytes=restarted,
    )
