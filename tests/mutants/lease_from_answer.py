"""A lease is counted from the answers, not from when the heartbeats left (dissertation §6.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._confirm_reads, "self._lease_until = began + ...", "self._lease_until = self._now + ...")
