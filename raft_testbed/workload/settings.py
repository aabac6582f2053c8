"""Settings of a workload."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raft_testbed.workload.generator import DEFAULT_MIX


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a workload; `raftctl workload` has an option for each."""

    endpoints: Sequence[str]
    run_id: str
    """Prefix of every key; no other run may have used it."""
    clients: int = 5
    readers: int = 0
    """Number of clients that only read: they stay with a deposed leader that writers leave, because it acknowledges no
    write."""
    rate: float = 0.0
    """Operations per second of all clients together; 0: unlimited."""
    seconds: float = 10.0
    """Time during which clients start operations; 0: until `Workload.finish` is called."""
    keys: int = 5
    seed: int = 0
    mix: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_MIX))
    """Weight of each function."""
    value_bytes: int = 0
    """Minimum length of a value; its unique part takes 5 to 10 bytes."""
    timeout: float = 2.0
    """Deadline of each operation, in seconds."""
    final_reads: bool = True
    final_reads_seconds_max: float = 30.0
    """Longest time that all final reads together may wait for a leader."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the event `workload_started`."""
        return {
            "endpoints": list(self.endpoints),
            "run_id": self.run_id,
            "clients": self.clients,
            "readers": self.readers,
            "rate": self.rate,
            "duration_seconds": self.seconds,
            "keys": self.keys,
            "seed": self.seed,
            "mix": dict(self.mix),
            "value_bytes": self.value_bytes,
            "timeout_seconds": self.timeout,
        }
