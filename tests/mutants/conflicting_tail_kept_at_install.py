"""Entries after an installed snapshot are kept, also where its last one has another term (Figure 13, step 6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._install,
    "self.log.reset(metadata.index, metadata.term)",
    """
if self.log.term_at(metadata.index) is None:
    self.log.reset(metadata.index, metadata.term)
else:
    self.log.compact(metadata.index)
""",
)
