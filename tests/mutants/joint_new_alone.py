"""C_new decides alone from C_old,new on (§6, a majority of each)."""

from raft_pkg.core.configuration import Electorate
from raft_testbed.mutation import rewrite

rewrite(Electorate.__init__, "(configuration.voters, configuration.outgoing)", "(configuration.voters,)")
