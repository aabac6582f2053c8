"""A leader believes that a follower which lost its disk still has what it had (matchIndex is void)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._track_followers,
    "if progress is None or progress.incarnation != incarnation:",
    "if progress is None:",
)
