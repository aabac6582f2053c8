"""Side-by-side measurements against other systems: `make bench`; docs/benchmarks.md says how and why so."""
