"""A follower keeps its log when it installs a snapshot (Figure 13, InstallSnapshot, step 7)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.install, "state.log.reset(metadata.index, metadata.term)", "")
