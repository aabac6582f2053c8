"""The key-value store: a state machine that Raft can replicate. `raft_pkg.kv.service` has its gRPC service."""

from raft_pkg.kv.store import KeyValueStore

__all__ = ["KeyValueStore"]
