"""A compare-and-set that wants the key to be absent succeeds whatever is there."""

from raft_pkg.kv.store import KeyValueStore
from raft_testbed.simulation.mutation import rewrite

rewrite(KeyValueStore._compare_and_set, "if current != expected:", "if expected is not None and current != expected:")
