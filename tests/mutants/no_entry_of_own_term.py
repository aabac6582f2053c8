"""A new leader appends no entry of its term, so it cannot commit earlier entries (§8)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._become_leader, "self._log.append_new(EntryKind.NOOP, b'')", "")
