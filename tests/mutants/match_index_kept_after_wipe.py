"""A leader believes that a follower which lost its disk still has what it had (matchIndex is void)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(Replication.track_followers, "progress.incarnation != incarnation", "False")
