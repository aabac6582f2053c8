"""A vote is written only when the term has changed too."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.take_ready,
    "hard_state != self._saved_hard_state",
    "hard_state.current_term != self._saved_hard_state.current_term",
)
