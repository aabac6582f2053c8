"""Entries after an installed snapshot are kept, also where its last one has another term (Figure 13, step 6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._install,
    "        self.log.reset(metadata.index, metadata.term)\n",
    "        if self.log.term_at(metadata.index) is None:\n"
    "            self.log.reset(metadata.index, metadata.term)\n"
    "        else:\n"
    "            self.log.compact(metadata.index)\n",
)
