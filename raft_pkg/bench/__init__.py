"""Measuring a running cluster through the client library: what `raftctl bench` does."""

from raft_pkg.bench.any_node import AnyNodeReads
from raft_pkg.bench.histogram import Histogram
from raft_pkg.bench.load import Plan, Target, Window, collecting, fill, measure
from raft_pkg.bench.measurement import Latencies, Measurement
from raft_pkg.bench.mix import Mix, parse_mix

__all__ = [
    "AnyNodeReads",
    "Histogram",
    "Latencies",
    "Measurement",
    "Mix",
    "Plan",
    "Target",
    "Window",
    "collecting",
    "fill",
    "measure",
    "parse_mix",
]
