"""Clusters of node processes on this machine's loopback interface, as `raftctl cluster` runs them."""

from raft_pkg.local.cluster import LocalCluster, LocalClusterOptions, LocalClusterStatus
from raft_pkg.local.description import ClusterUnavailableError

__all__ = ["ClusterUnavailableError", "LocalCluster", "LocalClusterOptions", "LocalClusterStatus"]
