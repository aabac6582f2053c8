"""A candidate requests votes from former members, and counts them (§6)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(
    EffectiveConfiguration._refresh,
    "self.incarnations = ...",
    "self.incarnations = getattr(self, 'incarnations', {}) | ...",
)
rewrite(
    Elections.has_majority, "self._configuration.agreed(...)", "sum(self._votes.values()) >= self._configuration.quorum"
)
