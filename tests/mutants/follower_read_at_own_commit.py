"""A follower serves a read at its own commit index and asks nobody (dissertation §6.4)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.read_index,
    "reads.add(number)",
    """
if self.role is Role.LEADER:
    reads.add(number)
else:
    self._ready.reads.append((number, self.commit_index))
""",
)
