"""After a failed sync, recovery trusts what is in memory."""

from raft_pkg.storage._log import LogReader
from raft_testbed.mutation import rewrite

rewrite(LogReader._open, "not is_newest", "True")
