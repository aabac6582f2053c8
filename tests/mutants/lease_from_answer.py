"""A lease is counted from the answers, not from when the heartbeats left (dissertation §6.4.1)."""

from raft_pkg.core.read_index import LeaderReads
from raft_testbed.mutation import rewrite

rewrite(LeaderReads.confirm, "self._lease_until = began + ...", "self._lease_until = self._state.now + ...")
