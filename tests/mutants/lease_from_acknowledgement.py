"""A lease begins with the acknowledgements, not with the sending of the heartbeats (dissertation §6.4.1)."""

from raft_pkg.core.read_index import LeaderReads
from raft_testbed.mutation import rewrite

rewrite(LeaderReads.confirm, "self._lease_until = began + ...", "self._lease_until = self._state.now + ...")
