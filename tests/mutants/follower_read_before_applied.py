"""A follower answers a read before it has applied the index that its leader named (dissertation §6.4)."""

from raft_pkg.core.reads import ForwardedReads
from raft_testbed.mutation import rewrite

rewrite(
    ForwardedReads.committed,
    "ready = [read for read in self._known if read[1] <= commit_index]",
    "ready = [(number, min(index, commit_index)) for number, index in self._known]",
)
rewrite(ForwardedReads.committed, "self._known[0][1] > commit_index", "False")
