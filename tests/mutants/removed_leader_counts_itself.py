"""A leader that is not in C_new counts itself for majorities of it (§6)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_testbed.mutation import rewrite

rewrite(
    EffectiveConfiguration.reached_by_quorum,
    "return self._electorate.reached(of_followers)",
    """
if not self.is_voter:
    members = (*self.voters, self._state.node_id)
    return sorted(of_followers.get(member, 0) for member in members)[-self.quorum]
return self._electorate.reached(of_followers)
""",
)
