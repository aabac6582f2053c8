"""After a failed sync, recovery reads the page cache."""

from raft_pkg.storage._log import LogReader
from raft_testbed.mutation import rewrite

rewrite(LogReader._open, "not is_newest", "True")
