"""Side-by-side measurements against other systems: `make bench`; docs/explanation/benchmarks.md says how and why so."""
