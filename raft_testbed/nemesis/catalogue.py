"""All faults by name."""

from raft_testbed.nemesis import disk, kubernetes, network, operations, process
from raft_testbed.nemesis.fault import Fault

CATALOGUE: dict[str, Fault] = {
    fault.name: fault()
    for fault in (*process.FAULTS, *kubernetes.FAULTS, *network.FAULTS, *disk.FAULTS, *operations.FAULTS)
}


def find_fault(name: str) -> Fault:
    """Return a fault. Raise `ValueError` with the known names if it does not exist."""
    if name not in CATALOGUE:
        raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(CATALOGUE))}")
    return CATALOGUE[name]
