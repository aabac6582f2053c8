"""Raft: a pure protocol core, a durable log, gRPC between nodes and for clients, and a key-value store.

- `raft_pkg.server` runs a node in your process.
- `raft_pkg.client` executes operations on a cluster.
- `raft_pkg.core.raft` is the protocol without I/O.

The package itself imports none of these, so that a program loads only what it uses.
"""

__version__ = "0.1.0"
