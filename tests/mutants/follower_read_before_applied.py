"""A follower serves a read before it has applied the read index (dissertation §6.4)."""

from raft_pkg.core.reads import ForwardedReads
from raft_testbed.mutation import rewrite

rewrite(
    ForwardedReads.take_committed,
    "ready = [read for read in self._indexed if read[1] <= commit_index]",
    "ready = [(read, min(index, commit_index)) for read, index in self._indexed]",
)
rewrite(ForwardedReads.take_committed, "self._indexed[0][1] > commit_index", "False")
