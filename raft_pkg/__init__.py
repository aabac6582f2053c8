"""A Raft that keeps its promises: a pure core, a durable log, gRPC between nodes and to clients, a key-value store.

Embed a node with `raft_pkg.server`, talk to a cluster with `raft_pkg.client`, drive the bare protocol with
`raft_pkg.core.raft`. This package imports nothing by itself, so that each of these costs only what it needs.
"""

__version__ = "0.1.0"
