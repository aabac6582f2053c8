"""A follower installs a snapshot although it has committed more (Figure 13, InstallSnapshot, step 6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._handle_install_snapshot,
    "metadata.index <= self.commit_index or self.log.term_at(metadata.index) == metadata.term",
    "self.snapshot is not None and metadata.index <= self.snapshot.index",
)
