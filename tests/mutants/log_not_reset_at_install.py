"""A follower keeps its log when it installs a snapshot (Figure 13, InstallSnapshot, step 7)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._install,
    "        self.log.reset(metadata.index, metadata.term)\n",
    "",
)
