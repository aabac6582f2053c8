"""Parse addresses, and resolve names to gRPC targets."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from raft_pkg.errors import ConfigurationError


def parse_address(address: str, what: str = "address", *, port_min: int = 1) -> tuple[str, int]:
    """Split `HOST:PORT` into host and port; an IPv6 host is in brackets.

    `what` names the address in the message of the `ConfigurationError` that an invalid address raises.
    """
    host, colon, port_text = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"{what} {address!r}: write an IPv6 address in brackets, such as [::1]:6000")
    if not colon or not host:
        raise ConfigurationError(f"{what} {address!r} is not HOST:PORT")
    if not (port_text.isascii() and port_text.isdigit() and port_min <= int(port_text) <= 65535):
        raise ConfigurationError(f"{what} {address!r}: {port_text!r} is not a port ({port_min} to 65535)")
    return host, int(port_text)


def parse_endpoints(endpoints: str | Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of `HOST:PORT,HOST:PORT` or of an iterable, without duplicates.

    Raise `ConfigurationError` if an address is invalid or if there is none.
    """
    listed = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    stripped = [endpoint.strip() for endpoint in listed]
    addresses = tuple(dict.fromkeys(endpoint for endpoint in stripped if endpoint))
    if not addresses:
        raise ConfigurationError("no endpoints: name at least one node's address as HOST:PORT")
    for address in addresses:
        parse_address(address)
    return addresses


def parse_peers(peers: str, what: str) -> dict[str, str]:
    """Parse `ID=HOST:PORT,ID=HOST:PORT`; return addresses by node id.

    Raise `ConfigurationError` that starts with `what`, the name of the option, and names the invalid part.
    """
    addresses: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in peers.split(","))):
        node_id, equals, address = (field.strip() for field in part.partition("="))
        if not equals or not node_id or not address:
            raise ConfigurationError(f"{what}: {part!r} is not ID=HOST:PORT")
        if node_id in addresses:
            raise ConfigurationError(f"{what}: {node_id!r} is named twice")
        if address in addresses.values():
            raise ConfigurationError(f"{what}: {address} is the address of two nodes")
        parse_address(address, f"{what}: {node_id}: address")
        addresses[node_id] = address
    if not addresses:
        raise ConfigurationError(
            f"{what} names no node: it must name this node and the nodes to form or join a cluster"
        )
    return addresses


async def resolve(address: str) -> list[str]:
    """Return every gRPC target to which HOST:PORT resolves now. Raise `OSError` if the name is unknown.

    gRPC's own resolver waits up to 30 s between two look-ups of a name, but a Pod's address changes at every restart.
    """
    host, port = parse_address(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(_target(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found))
    return [_target(host, port)]


def _target(ip: str, port: int) -> str:
    return f"ipv6:[{ip}]:{port}" if ":" in ip else f"ipv4:{ip}:{port}"
