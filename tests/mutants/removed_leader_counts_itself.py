"""A leader that is not in C_new counts itself for its majority (§6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._reached_by_quorum,
    "return self._electorate.reached(of_followers)",
    """
if not self.is_voter:
    return sorted(of_followers.get(voter, 0) for voter in (*self.voters, self.node_id))[-self.quorum]
return self._electorate.reached(of_followers)
""",
)
