"""A new leader waits for a client before it commits what its predecessors left (§8)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._become_leader, "self._log.append_new(EntryKind.NOOP, b'')", "")
