"""A node with an empty disk begins the cluster anew, though the others are in it already."""

from raft_pkg.core.membership import BootstrapPeers
from raft_testbed.simulation.mutation import rewrite

rewrite(
    BootstrapPeers.heard,
    "if not discovery.uninitialized or discovery.peers",
    "if discovery.peers",
)
