"""An API server of Kubernetes on the loopback interface, with prepared objects and logs."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

CONTEXT = "test"


class ApiServer(ThreadingHTTPServer):
    """Answers GET requests with `bodies`, accepts every PATCH and DELETE, and records all of them in `requests`.

    A request that follows a log gets the next of `followed`, and stays open.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: dict[str, bytes] = {}
        self.followed: list[bytes] = []
        self.requests: list[tuple[str, str, Any]] = []
        """Method, path with query, and JSON body of each request."""
        self.on_patch: Callable[[], None] = lambda: None
        """Called before the response to a PATCH."""
        self.closed = threading.Event()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig whose context `CONTEXT` names this server."""
        url = f"http://127.0.0.1:{self.server_address[1]}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": {"server": url}}],
            "users": [{"name": CONTEXT, "user": {}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path


@contextmanager
def running_server() -> Iterator[ApiServer]:
    """Serve on a thread until the end of the context."""
    server = ApiServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.closed.set()
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ApiServer

    def do_GET(self) -> None:
        self.server.requests.append(("GET", self.path, None))
        url = urlsplit(self.path)
        if parse_qs(url.query).get("follow") == ["true"] and self.server.followed:
            self._send_open_chunk(self.server.followed.pop(0))
        elif url.path in self.server.bodies:
            self._send(200, self.server.bodies[url.path])
        else:
            self._send(404, b'{"kind": "Status", "reason": "NotFound"}')

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(("PATCH", self.path, json.loads(body)))
        self.server.on_patch()
        self._send(200, b"{}")

    def do_DELETE(self) -> None:
        self.server.requests.append(("DELETE", self.path, None))
        self._send(200, b"{}")

    def log_message(self, *arguments: Any) -> None:
        pass

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_open_chunk(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        self.wfile.flush()
        self.server.closed.wait(60)
