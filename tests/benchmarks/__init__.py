"""Side-by-side benchmarks of raft_pkg and other systems (`make bench`; see docs/explanation/benchmarks.md)."""
