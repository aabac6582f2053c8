"""A node goes on by a configuration whose entry was replaced (§6, the newest one in its log)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog._truncate_from, "self._configuration.truncate_from(index)", "")
