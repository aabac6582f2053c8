"""The HTTP probes of an adapter."""

import http.client

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.adapter import serve_probes


def get_status(server, path):
    connection = http.client.HTTPConnection(*server.server_address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_readiness_follows_the_leader_and_liveness_does_not(free_port):
    leaders = []
    server = serve_probes(f"127.0.0.1:{free_port}", lambda: bool(leaders))
    try:
        assert [get_status(server, path) for path in ("/livez", "/readyz", "/other")] == [200, 503, 404]
        leaders.append("raft-0")
        assert get_status(server, "/readyz") == 200
        with pytest.raises(ConfigurationError, match=f"RAFT_HTTP 127.0.0.1:{free_port}: Address already in use"):
            serve_probes(f"127.0.0.1:{free_port}", lambda: True)
    finally:
        server.shutdown()
        server.server_close()
