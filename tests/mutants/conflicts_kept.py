"""A follower keeps what it has, also where the leader's entries conflict with it (§5.3)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._store, "found_term == entry.term", "found_term is not None")
