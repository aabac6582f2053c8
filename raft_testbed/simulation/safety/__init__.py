"""Safety properties of a cluster, checked step by step: `SafetyChecker` raises `Violation`."""

from raft_testbed.simulation.safety.checker import SafetyChecker
from raft_testbed.simulation.safety.observation import Identity, Observation
from raft_testbed.simulation.safety.violation import Violation

__all__ = ["Identity", "Observation", "SafetyChecker", "Violation"]
