"""The parts of the benchmarks by name (`make bench BENCH=…`), in the order of execution."""

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
