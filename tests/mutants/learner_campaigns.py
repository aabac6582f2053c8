"""A learner campaigns when its election timer fires (dissertation §4.2.1)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_testbed.mutation import rewrite

rewrite(
    EffectiveConfiguration.is_promotable.fget, "return self.is_voter", "return self._state.node_id in self.incarnations"
)
