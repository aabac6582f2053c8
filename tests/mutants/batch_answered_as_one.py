"""Where the commands of a row came to different ends, all are told what became of the first."""

from raft_pkg.server import outcomes
from raft_testbed.mutation import rewrite

rewrite(
    outcomes.of_applied,
    "like = applied[0]",
    """
like = applied[0]
applied = [Applied(one.result, like.index, like.expired) for one in applied]
""",
)
