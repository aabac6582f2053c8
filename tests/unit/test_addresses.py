"""Parsing addresses and resolving names."""

import pytest

from raft_pkg.addresses import parse_address, parse_endpoints, resolve
from raft_pkg.errors import ConfigurationError


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("raft-0.service-raft:6000", ("raft-0.service-raft", 6000)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_an_address_is_split_into_host_and_port(address, parts):
    assert parse_address(address) == parts


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "is not HOST:PORT"),
        ("host", "is not HOST:PORT"),
        (":6000", "is not HOST:PORT"),
        ("host:", "'' is not a port"),
        ("host:0", "'0' is not a port"),
        ("host:65536", "'65536' is not a port"),
        ("host:x", "'x' is not a port"),
        ("host:²", "is not a port"),
        ("::1:6000", "in brackets"),
    ],
)
def test_an_invalid_address_is_rejected(address, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_address(address)


def test_endpoints_are_parsed_from_text_or_an_iterable():
    assert parse_endpoints(" a:1, b:2,,a:1") == ("a:1", "b:2")
    assert parse_endpoints(["a:1", "b:2"]) == ("a:1", "b:2")
    with pytest.raises(ConfigurationError, match="no endpoints"):
        parse_endpoints(" , ")


async def test_targets_are_ip_addresses():
    assert await resolve("127.0.0.1:6000") == ["ipv4:127.0.0.1:6000"]
    assert await resolve("[::1]:6000") == ["ipv6:[::1]:6000"]
    assert "ipv4:127.0.0.1:6000" in await resolve("localhost:6000")
    with pytest.raises(OSError, match=r"."):
        await resolve("no-such-name.invalid:6000")
