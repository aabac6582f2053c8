"""/livez and /readyz over HTTP, for the probes of Kubernetes."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError

CONNECTION_SECONDS_MAX = 5.0
"""How long a connection may be silent."""


def serve_probes(address: str, is_ready: Callable[[], bool]) -> ThreadingHTTPServer:
    """Answer probes on HOST:PORT in a thread: /livez with 200, /readyz with 200 if `is_ready()`, otherwise with 503.

    Call `shutdown` on the result at the end. Raise `ConfigurationError` when the address cannot be bound.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = CONNECTION_SECONDS_MAX

        def do_GET(self) -> None:
            probe = {"/livez": lambda: True, "/readyz": is_ready}.get(self.path)
            self.send_response(404 if probe is None else 200 if probe() else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing: probes arrive every second, and the node's log is for events."""

    try:
        server = ThreadingHTTPServer(parse_address(address, "RAFT_HTTP"), Handler)
    except OSError as error:
        raise ConfigurationError(f"RAFT_HTTP {address}: {error.strerror or error}") from None
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
