"""Clusters of nodes on this machine's loopback interface: what `raftctl cluster` does."""

from raft_pkg.local.cluster import LocalCluster, LocalClusterOptions, LocalStatus
from raft_pkg.local.description import ClusterUnavailableError

__all__ = ["ClusterUnavailableError", "LocalCluster", "LocalClusterOptions", "LocalStatus"]
