"""A configuration becomes effective only when it is committed (§6: when it is in the log)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    EffectiveConfiguration._refresh,
    "configuration = self.current",
    "configuration = self.at(self._state.commit_index) or self.current",
)
rewrite(
    Raft.take_ready,
    "ready = self._state.ready",
    """
self._configuration._refresh()
self._configuration_changed()
ready = self._state.ready
""",
)
