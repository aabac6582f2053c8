"""After a failed sync, recovery trusts what is in memory."""

from raft_pkg.simulation.mutation import rewrite
from raft_pkg.storage._log import LogReader

rewrite(LogReader._open, "cached=not is_newest", "cached=True")
