"""/livez, /readyz and /metrics over HTTP, for probes and Prometheus: Kubernetes 1.20 has no gRPC probes.

A separate thread serves them, so that it can observe whether the node's event loop still iterates.
"""

import time
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError
from raft_pkg.server.node import Node

POLL_SECONDS = 0.1
"""Interval in which the thread checks for shutdown, in seconds."""
LIVE_SECONDS_MAX = 10.0
"""A node whose event loop has not iterated for this long is not live, in seconds."""


class NodeCollector(Collector):
    """Reads the node's metrics at each scrape."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one gauge for each metric."""
        raft = self._node.raft
        gauges = {
            "raft_term": ("Current term", raft.current_term),
            "raft_leader": ("1 on the leader", int(self._node.is_leader)),
            "raft_commit_index": ("Highest index known to be committed", raft.commit_index),
            "raft_applied_index": ("Highest index applied to the state machine", self._node.applied_index),
            "raft_last_log_index": ("Highest index in the log", raft.log.last_index),
        }
        for name, (documentation, value) in gauges.items():
            gauge = GaugeMetricFamily(name, documentation, labels=["node"])
            gauge.add_metric([self._node.config.node_id], value)
            yield gauge


class _Server(ThreadingMixIn, WSGIServer):
    """Uses a thread per connection, so that an idle connection can't block a probe."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 5.0  # seconds until an idle connection is closed

    def log_message(self, *_args: Any) -> None:
        """Log nothing: probes are frequent, and stdout is reserved for events."""


def serve_http(node: Node, address: str) -> WSGIServer:
    """Start serving on HOST:PORT in a new thread; return the running server.

    Raise `ConfigurationError` if the address is not available.
    """
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    ProcessCollector(registry=registry)
    metrics = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        probes: dict[str, Callable[[], bool]] = {
            "/livez": lambda: time.monotonic() - node.last_iteration_at < LIVE_SECONDS_MAX,
            "/readyz": lambda: node.raft.leader is not None,
        }
        probe = probes.get(environ["PATH_INFO"])
        if probe is None:
            return metrics(environ, start_response)
        status, body = ("200 OK", b"ok\n") if probe() else ("503 Service Unavailable", b"no\n")
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    host, port = parse_address(address, "--http")
    try:
        server = make_server(host, port, application, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise ConfigurationError(f"--http {address}: {error.strerror or error}") from None
    Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="http", daemon=True).start()
    return server
