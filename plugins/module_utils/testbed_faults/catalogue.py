"""All faults, by name."""

from __future__ import annotations

from ansible.module_utils.testbed_faults import disk, machines, network, operations, processes
from ansible.module_utils.testbed_faults.fault import Fault

CATALOGUE: dict[str, Fault] = {
    kind.name: kind()
    for kind in (*processes.FAULTS, *machines.FAULTS, *network.FAULTS, *disk.FAULTS, *operations.FAULTS)
}
