"""All commands of a batch get the outcome of the first, even if their outcomes differ."""

from raft_pkg.server import outcomes
from raft_testbed.mutation import rewrite

rewrite(
    outcomes.of_applied,
    "first = applied[0]",
    """
first = applied[0]
applied = [Applied(one.result, first.index, first.expired) for one in applied]
""",
)
