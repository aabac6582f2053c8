"""The chunks of a snapshot have the state at the time of each chunk, not at the snapshot's index."""

from raft_pkg.kv.store import KeyValueStore
from raft_testbed.mutation import rewrite

rewrite(
    KeyValueStore.snapshot,
    "self._values.copy()",
    "self._values",
)
