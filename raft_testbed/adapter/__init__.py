"""The gRPC side of docs/reference/contract.md, for adapters that put another Raft under this testbed.

An adapter is a program that runs beside a node of the other system. It reads a `NodeEnvironment`, implements
`ReplicatedStateMachine` and `Leadership` with the other system's API, serves clients with `CommandExecutor` and
`start_server`, answers probes with `serve_probes`, and logs events with `raft_pkg.events.EventLog`.
"""

from raft_testbed.adapter.environment import NodeEnvironment
from raft_testbed.adapter.executor import CommandExecutor, Leadership, ReplicatedStateMachine
from raft_testbed.adapter.probes import serve_probes
from raft_testbed.adapter.server import start_server, wait_for_stop_signal

__all__ = [
    "CommandExecutor",
    "Leadership",
    "NodeEnvironment",
    "ReplicatedStateMachine",
    "serve_probes",
    "start_server",
    "wait_for_stop_signal",
]
