"""Where the commands of a row came to different ends, all are told what became of the first."""

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
