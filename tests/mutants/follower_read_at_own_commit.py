"""A follower serves a read at its own commit index and asks nobody (dissertation §6.4)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft.read_index,
    "        reads.add(number)\n",
    "        if self.role is Role.LEADER:\n"
    "            reads.add(number)\n"
    "        else:\n"
    "            self._ready.reads.append((number, self.commit_index))\n",
)
