"""A longer log counts as more up to date, whatever the term of its last entry (§5.4.1)."""

from raft_pkg.core.log import RaftLog
from raft_testbed.mutation import rewrite

rewrite(
    RaftLog.is_up_to_date,
    "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
    "last_log_index >= self.last_index",
)
