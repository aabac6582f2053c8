"""Network rules by the kernel: iptables and netem in the network namespace of a Pod, entered from its machine.

`nsenter` and `iptables` are commands by nature, and exist on the machine only; no Python package replaces them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from raft_testbed.faults import Evidence
from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.host import Host
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.iptables import CHAIN, chain_commands, chain_packets, netem_packets, removal_commands
from raft_testbed.proxy.link_rules import LinkRule

RESET_SHARE = 0.02
"""Share of a connection's packets that are answered with a reset."""


class PodNetwork(Protocol):
    """The network namespaces and addresses of Pods."""

    def hosts(self) -> list[Host]: ...

    def host_of(self, node_id: str) -> Host: ...

    def pid(self, node_id: str) -> int:
        """Return the process id of the Pod's first process on its host."""
        ...

    def addresses(self) -> dict[str, str]:
        """Return the address of every node's Pod."""
        ...


class KernelNetwork:
    """Rules for packets between Pods."""

    def __init__(self, pods: PodNetwork) -> None:
        self._pods = pods

    def unavailable(self, rule: LinkRule) -> str:
        host = self._pods.hosts()[-1]
        if _needs_netem(rule):
            probe = "unshare -n sh -c 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms'"
            return _probe(host, probe, "netem")
        if rule.drop == 1:
            return ""
        match = "-m statistic --mode random --probability 0.5"
        return _probe(host, f"unshare -n iptables -A OUTPUT {match} -j DROP", "iptables statistic")

    def apply(self, injection: Injection, rule: LinkRule) -> None:
        """Prepare the rule on every node, then activate it on all at once.

        Otherwise a leader whose outbound traffic is dropped first would be deposed before its inbound traffic is.
        The sender's end of a link is enough, except for packets in flight.
        """
        addresses = self._pods.addresses()
        activations: dict[Host, list[str]] = {}
        for sender in _senders(rule):
            receivers = [addresses[target] for source, target in rule.links if source == sender]
            host, enter = self._pods.host_of(sender), enter_network(self._pods.pid(sender))
            injection.arm(host, "\n".join(f"{enter} {command}" for command in removal_commands()), sender)
            *preparations, activation = (f"{enter} {command}" for command in rule_commands(rule, receivers))
            host.run("\n".join(["set -e", *preparations]))
            activations.setdefault(host, []).append(activation)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: host.run("\n".join(["set -e", *activations[host]])), activations))

    def effect(self, injection: Injection, rule: LinkRule) -> Evidence:
        del injection  # the kernel's counters start with the rule
        counts = {sender: self._packets(sender, rule) for sender in _senders(rule)}
        per_sender = ", ".join(f"{sender} {count}" for sender, count in counts.items())
        return Evidence("packets are dropped or held", sum(counts.values()) > 0, f"packets by sender: {per_sender}")

    def _packets(self, node_id: str, rule: LinkRule) -> int:
        host, enter = self._pods.host_of(node_id), enter_network(self._pods.pid(node_id))
        if _needs_netem(rule):
            return netem_packets(host.run(f"{enter} tc -s qdisc show dev eth0"))
        return chain_packets(host.run(f"{enter} iptables -w -L {CHAIN} -v -x -n"))


class KernelClientNetwork:
    """The packets between Pods and clients."""

    def __init__(
        self, pods: PodNetwork, client_addresses: Callable[[], list[str]], nodes_beside_client: Callable[[], list[str]]
    ) -> None:
        self._pods = pods
        self._client_addresses = client_addresses
        self._nodes_beside_client = nodes_beside_client

    def unavailable(self) -> str:
        nodes = self._nodes_beside_client()
        return f"{', '.join(nodes)} share the clients' machine and its address" if nodes else ""

    def cut(self, injection: Injection) -> None:
        directions = [(chain, address) for chain in ("INPUT -s", "OUTPUT -d") for address in self._client_addresses()]
        for node_id in injection.targets:
            host, enter = self._pods.host_of(node_id), enter_network(self._pods.pid(node_id))
            lines = [f"{enter} iptables -w -{{}} {chain} {address} -p tcp -j DROP" for chain, address in directions]
            injection.arm(host, "\n".join(f"{line.format('D')} || true" for line in lines), node_id)
            host.run(" && ".join(line.format("I") for line in lines))

    def dropped_packets(self, node_id: str) -> int:
        host, enter = self._pods.host_of(node_id), enter_network(self._pods.pid(node_id))
        return chain_packets(host.run(f"{enter} iptables -w -L INPUT -v -x -n"))


def enter_network(pid: int) -> str:
    """Return the beginning of a command that runs in the network namespace of a process."""
    return f"nsenter -t {pid} -n"


def rule_commands(rule: LinkRule, addresses: list[str]) -> list[str]:
    """Return the commands that apply a rule to what a Pod sends to these addresses. The last one activates them."""
    if rule.duplicate:
        return [f"tc qdisc add dev eth0 root netem duplicate {100 * rule.duplicate:g}%"]
    if rule.bytes_per_second:
        return [f"tc qdisc add dev eth0 root netem rate {8 * rule.bytes_per_second:g}bit"]
    if rule.delay_ms_max:
        mean_ms = (rule.delay_ms_min + rule.delay_ms_max) / 2
        return [f"tc qdisc add dev eth0 root netem delay {mean_ms:g}ms {rule.delay_ms_max - mean_ms:g}ms"]
    if rule.reset_every_ms:
        match = f"-p tcp -m statistic --mode random --probability {RESET_SHARE}"
        return chain_commands([f"-d {address} {match} -j REJECT --reject-with tcp-reset" for address in addresses])
    match = "" if rule.drop == 1 else f" -m statistic --mode random --probability {rule.drop}"
    return chain_commands([f"-d {address}{match} -j DROP" for address in addresses])


def _needs_netem(rule: LinkRule) -> bool:
    return bool(rule.duplicate or rule.bytes_per_second or rule.delay_ms_max)


def _senders(rule: LinkRule) -> list[str]:
    return sorted({source for source, _ in rule.links})


def _probe(host: Host, script: str, feature: str) -> str:
    try:
        host.run(script)
    except CommandError as error:
        return f"the kernel has no {feature}: {str(error).rpartition('status')[2].strip()[:200]}"
    return ""
