"""The chunks of a snapshot show the state as it is when each is taken, not as it was at its index."""

from raft_pkg.kv.store import KeyValueStore
from raft_testbed.mutation import rewrite

rewrite(
    KeyValueStore.snapshot,
    "self._values.copy()",
    "self._values",
)
