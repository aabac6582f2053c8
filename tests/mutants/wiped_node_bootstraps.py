"""A node with an empty disk bootstraps a cluster, although its peers are members of one."""

from raft_pkg.core.bootstrap import BootstrapPeers
from raft_testbed.mutation import rewrite

rewrite(BootstrapPeers.record, "not discovery.uninitialized", "False")
