"""A crash between an installed snapshot and the new beginning of the log: recovery keeps the old log."""

from raft_pkg.storage._log import LogReader
from raft_testbed.mutation import rewrite

rewrite(
    LogReader._reconcile_with_snapshot,
    """
if found != term:
    ...
""",
    "",
)
