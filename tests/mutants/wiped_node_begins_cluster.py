"""A node with an empty disk begins the cluster anew, though the others are in it already."""

from raft_pkg.core.membership import Acquaintances
from raft_pkg.simulation.mutation import rewrite

rewrite(
    Acquaintances.heard,
    "if not hello.blank or hello.peers",
    "if hello.peers",
)
