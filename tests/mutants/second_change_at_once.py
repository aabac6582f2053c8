"""A leader changes the members again before the last change is committed (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._why_no_change_now, "self.configuration.is_joint or self.configuration_index > self.commit_index", "False")
