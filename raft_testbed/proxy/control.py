"""Control protocol of the proxy: one JSON object per line over TCP, for requests and responses."""

import asyncio
import json
import socket
import time
from typing import Any

from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError, RaftError
from raft_testbed.proxy.link_rules import LinkRule, Network

RESPONSE_SECONDS_MAX = 5.0
LINE_BYTES_MAX = 1024 * 1024


class ProxyUnavailableError(RaftError):
    """The proxy does not respond. The message has its address."""

    exit_status = 3


class ControlServer:
    """Serves requests: `{"set": NAME, "rule": {…}, "seconds": N}`, `{"clear": NAME or null}`, `{"status": true}`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def start(self, address: str) -> asyncio.Server:
        """Start listening. Raise `ConfigurationError` if the address is not available."""
        host, port = parse_address(address, "--control")
        try:
            return await asyncio.start_server(self._serve, host, port, limit=LINE_BYTES_MAX)
        except OSError as error:
            raise ConfigurationError(f"--control {address}: {error.strerror or error}") from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), RESPONSE_SECONDS_MAX)
            writer.write(json.dumps(self._respond(line)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # the peer has disconnected, and expects no response
        finally:
            writer.close()

    def _respond(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if "set" in request:
                rule = LinkRule.from_json(request["rule"])
                self._network.set_rule(str(request["set"]), rule, time.monotonic() + float(request["seconds"]))
                return self._status()
            if "clear" in request:
                return {"cleared": self._network.clear(request["clear"]), **self._status()}
            return self._status()
        except (ConfigurationError, ValueError, KeyError, TypeError) as error:
            return {"error": f"{line.decode(errors='replace').strip()}: {error}"}

    def _status(self) -> dict[str, Any]:
        now = time.monotonic()
        rules = self._network.rules(now)
        return {
            "rules": {
                name: {**rule.to_json(), "seconds": round(until - now, 3)} for name, (rule, until) in rules.items()
            },
            "links": [
                {"from": source, "to": target, **counts}
                for (source, target), counts in sorted(self._network.counts.items())
            ],
        }


def send_request(address: str, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request and return the response.

    Raise `ProxyUnavailableError` if the proxy does not respond, `ConfigurationError` if it rejects the request.
    """
    try:
        with socket.create_connection(parse_address(address, "--control"), timeout=RESPONSE_SECONDS_MAX) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as file:
                response: dict[str, Any] = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise ProxyUnavailableError(f"no proxy responds at {address}: {error}") from None
    if "error" in response:
        raise ConfigurationError(str(response["error"]))
    return response
