"""After a crash between the commit of an installed snapshot and the reset of the log, recovery keeps the old log."""

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
