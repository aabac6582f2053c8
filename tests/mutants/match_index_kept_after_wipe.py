"""A leader keeps the matchIndex of a follower that lost its disk."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(Replication.track_followers, "progress.incarnation != incarnation", "False")
