"""C_new decides alone as soon as C_old,new is in the log (§6: a majority of each configuration)."""

from raft_pkg.core.configuration import Electorate
from raft_testbed.mutation import rewrite

rewrite(Electorate.__init__, "(configuration.voters, configuration.outgoing)", "(configuration.voters,)")
