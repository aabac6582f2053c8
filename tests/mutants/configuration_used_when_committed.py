"""A node goes by a configuration only when it is committed (§6, as soon as it is in its log)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._use_effective_configuration,
    "configuration = self.configuration",
    "configuration = self.configuration_at(self.commit_index) or self.configuration",
)
rewrite(
    Raft.take_ready,
    "ready = self._ready",
    """
self._use_effective_configuration()
ready = self._ready
""",
)
