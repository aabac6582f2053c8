"""A follower installs a snapshot that is older than its commit index (Figure 13, step 6)."""

from raft_pkg.core.follower import Follower
from raft_testbed.mutation import rewrite

rewrite(
    Follower.handle_install_snapshot,
    "metadata.index <= state.commit_index or state.log.term_at(metadata.index) == metadata.term",
    "state.snapshot is not None and metadata.index <= state.snapshot.index",
)
