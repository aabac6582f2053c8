"""A follower serves a read at its own commit index, without asking the leader (dissertation §6.4)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.read_index,
    "self._follower_reads.add(request_id)",
    "self._state.ready.reads.append((request_id, self.commit_index))",
)
