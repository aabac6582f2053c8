"""The parts of a run that its machines and clients share."""

from dataclasses import dataclass

from raft_testbed.simulation.network import SimulatedNetwork
from raft_testbed.simulation.parameters import Parameters
from raft_testbed.simulation.safety import SafetyChecker
from raft_testbed.simulation.scheduler import Scheduler
from raft_testbed.simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class SimulationContext:
    """Seed and parameters of a run, and its scheduler, network, safety checker and trace."""

    seed: int
    parameters: Parameters
    scheduler: Scheduler
    network: SimulatedNetwork
    checker: SafetyChecker
    trace: Trace
