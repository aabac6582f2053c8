"""A node goes by a configuration only when it is committed (§6, as soon as it is in its log)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._use_effective_configuration,
    "configuration = self.configuration\n",
    "configuration = self.configuration_at(self.commit_index) or self.configuration\n",
)
rewrite(
    Raft.take_ready,
    "        if self.role is Role.LEADER:\n",
    "        self._use_effective_configuration()\n        if self.role is Role.LEADER:\n",
)
