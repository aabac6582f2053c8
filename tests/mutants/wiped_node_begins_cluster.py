"""A node with an empty disk begins the cluster anew, though the others are in it already."""

from raft_pkg.core.bootstrap import BootstrapPeers
from raft_testbed.mutation import rewrite

rewrite(BootstrapPeers.record, "not discovery.uninitialized", "False")
