"""The parts of the benchmark, by the names that `make bench BENCH=…` takes, in the order in which they run."""

from collections.abc import Callable

from tests.benchmarks.parts import cost, durability, failover, load, memory, restart, snapshots, testbed, tools, unary
from tests.benchmarks.session import Session

PARTS: dict[str, Callable[[Session], None]] = {
    "durability": durability.durability,
    "writes": load.writes,
    "reads": load.reads,
    "snapshots": snapshots.snapshots,
    "cost": cost.cost,
    "failover": failover.failover,
    "restart": restart.restart,
    "memory": memory.memory,
    "unary": unary.unary,
    "tools": tools.tools,
    "testbed": testbed.testbed,
}
