"""A compare-and-set that expects an absent key succeeds with any value."""

from raft_pkg.kv.store import KeyValueStore
from raft_testbed.mutation import rewrite

rewrite(KeyValueStore._compare_and_set, "current != expected", "expected is not None and current != expected")
