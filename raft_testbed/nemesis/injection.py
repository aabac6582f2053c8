"""A fault between its injection and its end: the record for the report, and what ending it takes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.host import Host


@dataclass
class Injection:
    """One injected fault. JSON-serializable, since different processes inject and heal it."""

    id: str
    """Unique among all faults of the cluster; the first part of its switches' names."""
    record: FaultRecord
    expiry_seconds: float
    """After this time the dead man's switches revert the fault."""
    processes_before: dict[str, str] = field(default_factory=dict)
    """Process identity of each node before the injection."""
    memory: dict[str, Any] = field(default_factory=dict)
    """Values that the fault itself needs later; each must survive a JSON round trip."""
    failed: str = ""
    """Why the injection failed; empty: it did not."""

    @property
    def targets(self) -> list[str]:
        return self.record.targets

    @property
    def seconds(self) -> float:
        """How long the fault holds before it is healed."""
        return self.record.seconds or 0.0

    def arm(self, host: Host, revert_script: str, node_id: str = "cluster") -> None:
        """Arm a dead man's switch on a host. Each node of a fault has its own."""
        host.arm(f"{self.id}.{node_id}", revert_script, self.expiry_seconds)

    def disarm(self, host: Host, node_id: str) -> None:
        """Revert one node's part of the fault now."""
        host.revert(f"{self.id}.{node_id}")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "record": self.record.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the injection that `to_json` described. Raise `ValueError` if the record is invalid."""
        return cls(**{**content, "record": FaultRecord.from_json(content["record"])})
