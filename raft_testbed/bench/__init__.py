"""Benchmark of a running cluster through the client library (`raftctl bench`)."""

from raft_testbed.bench.any_node import AnyNodeReads
from raft_testbed.bench.histogram import Histogram
from raft_testbed.bench.load import Plan, Target, Window, collecting, fill, measure
from raft_testbed.bench.measurement import Latencies, Measurement
from raft_testbed.bench.mix import Mix, parse_mix

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
