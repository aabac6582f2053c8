"""A leader believes that a follower which lost its disk still has what it had (matchIndex is void)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._track_followers, "progress.incarnation != incarnation", "False")
