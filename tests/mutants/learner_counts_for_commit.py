"""A learner's copy counts for a majority (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Raft._advance_commit_index,
    "majority_index = self._reached_by_quorum(\n"
    "            self._durable_index, {peer: progress.match_index for peer, progress in self.progress.items()}\n"
    "        )",
    "held = [self._durable_index, *(progress.match_index for progress in self.progress.values())]\n"
    "        majority_index = sorted(held)[-self.quorum]",
)
