"""A follower stands for election although it hears from its leader (§5.2)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._hear_leader, "self._reset_election_timer(now)", "")
