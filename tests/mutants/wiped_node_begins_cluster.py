"""A node with an empty disk begins the cluster anew, though the others are in it already."""

from raft_pkg.core.membership import BootstrapPeers
from raft_testbed.mutation import rewrite

rewrite(BootstrapPeers.heard, "not discovery.uninitialized", "False")
