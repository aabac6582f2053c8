"""What every part of one run shares."""

from dataclasses import dataclass

from raft_pkg.simulation.conditions import Conditions
from raft_pkg.simulation.invariants import Invariants
from raft_pkg.simulation.network import SimulatedNetwork
from raft_pkg.simulation.scheduler import Scheduler
from raft_pkg.simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class Setting:
    """One run's seed and conditions, its time, network and trace, and what must hold in it."""

    seed: int
    conditions: Conditions
    scheduler: Scheduler
    network: SimulatedNetwork
    invariants: Invariants
    trace: Trace
