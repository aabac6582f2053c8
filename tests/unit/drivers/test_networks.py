"""Network rules, as the proxy and the kernel apply them."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raft_testbed.drivers.kernel_network import rule_commands
from raft_testbed.drivers.proxy_network import ProxyNetwork
from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.catalogue import CATALOGUE
from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.host import Host
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.iptables import chain_packets, netem_packets
from raft_testbed.nemesis.network import make_rule
from raft_testbed.proxy.control import ControlServer
from raft_testbed.proxy.link_rules import Network
from tests.support.servers import free_ports

LINK = ("raft-0", "raft-1")


@pytest.mark.parametrize(
    ("fault", "commands"),
    [
        (
            "partition",
            [
                "iptables -w -N RAFT-FAULT",
                "iptables -w -A RAFT-FAULT -d 10.0.0.1 -j DROP",
                "iptables -w -I OUTPUT -j RAFT-FAULT",
            ],
        ),
        (
            "loss",
            [
                "iptables -w -N RAFT-FAULT",
                "iptables -w -A RAFT-FAULT -d 10.0.0.1 -m statistic --mode random --probability 0.2 -j DROP",
                "iptables -w -I OUTPUT -j RAFT-FAULT",
            ],
        ),
        (
            "reset",
            [
                "iptables -w -N RAFT-FAULT",
                (
                    "iptables -w -A RAFT-FAULT -d 10.0.0.1 -p tcp -m statistic --mode random --probability 0.02 "
                    "-j REJECT --reject-with tcp-reset"
                ),
                "iptables -w -I OUTPUT -j RAFT-FAULT",
            ],
        ),
        ("delay", ["tc qdisc add dev eth0 root netem delay 22.5ms 17.5ms"]),
        ("duplicate", ["tc qdisc add dev eth0 root netem duplicate 30%"]),
        ("bandwidth", ["tc qdisc add dev eth0 root netem rate 400000bit"]),
    ],
)
def test_the_kernel_applies_a_rule_by_these_commands(fault: str, commands: list[str]) -> None:
    assert rule_commands(make_rule([LINK], CATALOGUE[fault].defaults), ["10.0.0.1"]) == commands


def test_counters_are_read_from_the_listings_of_iptables_and_tc() -> None:
    listing = """Chain RAFT-FAULT (1 references)
    pkts      bytes target     prot opt in     out     source               destination
      12      720 DROP       all  --  *      *       0.0.0.0/0            10.0.0.1
       3      180 REJECT     tcp  --  *      *       0.0.0.0/0            10.0.0.2   reject-with tcp-reset
       5      300 ACCEPT     all  --  *      *       0.0.0.0/0            10.0.0.3"""
    assert chain_packets(listing) == 15
    assert netem_packets("qdisc netem 8001: root refcnt 2\n Sent 1480 bytes 10 pkt (dropped 0, overlimits 0)") == 10
    assert netem_packets("qdisc noqueue 0: root refcnt 2") == 0


@pytest.fixture
def proxied() -> Iterator[tuple[Network, str]]:
    """The control port of a proxy, and the rules behind it."""
    network, loop = Network(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    server = asyncio.run_coroutine_threadsafe(ControlServer(network).start(address), loop).result(30)
    yield network, address
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)


def injection() -> Injection:
    return Injection(
        "partition-1", FaultRecord("partition", targets=["raft-0"]), expiry_seconds=10.0
    )  # the process of the dead man's switch ends soon after the test


@pytest.mark.parametrize(
    ("fault", "counter"),
    [("partition", "dropped"), ("delay", "delayed"), ("duplicate", "duplicated"), ("reset", "resets")],
)
def test_the_proxy_holds_the_rule_and_counts_its_effect(
    proxied: tuple[Network, str], tmp_path: Path, fault: str, counter: str
) -> None:
    network, address = proxied
    host, given = Host("here", str(tmp_path)), injection()
    rule = make_rule([LINK], CATALOGUE[fault].defaults)
    network.count(LINK, counter)  # before the fault
    proxy = ProxyNetwork(host, "raftctl", address)
    proxy.apply(given, rule)
    rules: dict[str, Any] = network.rules(0.0)
    assert [known for known, _ in rules.values()] == [rule]
    assert host.armed() == ["partition-1.cluster"]
    assert not proxy.effect(given, rule).holds
    network.count(LINK, counter)
    evidence = proxy.effect(given, rule)
    assert (evidence.holds, evidence.observed) == (True, f"{counter}: raft-0>raft-1 1")


def test_a_proxy_that_does_not_answer_is_a_command_error(tmp_path: Path) -> None:
    proxy = ProxyNetwork(Host("here", str(tmp_path)), "raftctl", "127.0.0.1:1")
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:1"):
        proxy.apply(injection(), make_rule([LINK], {"drop": 1.0}))
