"""A follower keeps its log after an installed snapshot, even if the term of the snapshot's last entry differs (Figure
13, step 6).
"""

from raft_pkg.core.replicated_log import ReplicatedLog
from raft_testbed.mutation import rewrite

rewrite(
    ReplicatedLog.install,
    "state.log.reset(metadata.index, metadata.term)",
    """
if state.log.term_at(metadata.index) is None:
    state.log.reset(metadata.index, metadata.term)
else:
    state.log.compact(metadata.index)
""",
)
