"""What every part of one run shares."""

from dataclasses import dataclass

from raft_testbed.simulation.invariants import Invariants
from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.schedule import Conditions
from raft_testbed.simulation.scheduler import Scheduler
from raft_testbed.simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class Setting:
    """One run's seed and conditions, its time, network and trace, and what must hold in it."""

    seed: int
    conditions: Conditions
    scheduler: Scheduler
    network: SimulatedNetwork
    invariants: Invariants
    trace: Trace
