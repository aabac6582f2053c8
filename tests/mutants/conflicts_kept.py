"""A follower keeps what it has, also where the leader's entries conflict with it (§5.3)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(Raft._store, "if found_term == entry.term:", "if found_term is not None:")
