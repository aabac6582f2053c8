"""A follower answers a read before it has applied the index that its leader named (dissertation §6.4)."""

from raft_pkg.core.reads import ForwardedReads
from raft_testbed.simulation.mutation import rewrite

rewrite(
    ForwardedReads.committed,
    "        ready = [read for read in self._known if read[1] <= commit_index]\n",
    "        ready = [(number, min(index, commit_index)) for number, index in self._known]\n",
)
rewrite(
    ForwardedReads.committed,
    "not self._known or self._known[0][1] > commit_index",
    "not self._known",
)
