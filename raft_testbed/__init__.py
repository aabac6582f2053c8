"""A testbed for Raft implementations: workloads, faults, checkers, reports, and a deterministic simulator.

It imports `raft_pkg`, never the reverse. Its commands join `raftctl` through the entry-point group `raftctl.commands`.
"""
