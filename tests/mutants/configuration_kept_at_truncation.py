"""A configuration stays effective after its entry was removed from the log (§6: the newest one in the log)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog._truncate_from, "self._configuration.truncate_from(index)", "")
