"""A follower keeps its whole log when it installs a snapshot (Figure 13, step 7)."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(ReplicatedLog.install, "state.log.reset(metadata.index, metadata.term)", "")
