"""/livez and /readyz over HTTP, for Kubernetes: the process lives; it knows of a leader."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError


def serve_probes(address: str, is_ready: Callable[[], bool]) -> ThreadingHTTPServer:
    """Begin to answer on HOST:PORT. Raises `ConfigurationError` when the address can't be had."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0  # seconds that a connection may say nothing

        def do_GET(self) -> None:
            known = {"/livez": lambda: True, "/readyz": is_ready}.get(self.path)
            self.send_response(404 if known is None else 200 if known() else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Probes come every second; the node's log is for events."""

    try:
        server = ThreadingHTTPServer(parse_address(address, "RAFT_HTTP"), Handler)
    except OSError as error:
        raise ConfigurationError(f"RAFT_HTTP {address}: {error.strerror or error}") from None
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
