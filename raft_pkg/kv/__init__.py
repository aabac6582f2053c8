"""The key-value store: one example of a state machine that Raft replicates."""

from raft_pkg.kv.store import KeyValueStore

__all__ = ["KeyValueStore"]
