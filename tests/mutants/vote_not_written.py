"""A vote is written only if the term has changed too."""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(
    ReplicatedLog.fill,
    "hard_state != self._saved_hard_state",
    "hard_state.current_term != self._saved_hard_state.current_term",
)
