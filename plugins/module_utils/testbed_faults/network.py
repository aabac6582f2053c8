"""Faults of the network: cuts, loss, delay, repetition.

Locally a proxy between the nodes (raft_testbed/proxy) does it to whole messages. On Kubernetes, iptables does it to packets
in the network namespace of the Pods that suffer, entered from their node; what is lost one way over TCP then stalls the
way back as well, once the sender's window is full or its acknowledgements are what is lost.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.module_utils.testbed_faults.fault import Fault, FaultError, Step
from ansible.module_utils.testbed_faults.shell import Place, ShellError

if TYPE_CHECKING:
    from random import Random

    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.kubernetes import KubernetesCluster
    from ansible.module_utils.testbed_faults.local import LocalCluster
    from ansible.module_utils.testbed_faults.view import View

Links = list[tuple[str, str]]
CHAIN = "RAFT-FAULT"


class NetworkFault(Fault):
    """A fault of some links, each one way; `rule` is what happens there, in the proxy's words."""

    rule: ClassVar[dict[str, Any]] = {"drop": 1.0}
    counted: ClassVar[str] = "dropped"
    """What the proxy counts of it."""
    seconds = 7.0
    silent = True
    needs_netem: ClassVar[bool] = False

    def links(self, view: View, step: Step) -> Links:
        """Sender and receiver of each link that suffers."""
        raise NotImplementedError

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.platform == "local":
            return "" if cluster.proxy else no_proxy(cluster)
        if self.needs_netem:
            return netem_unavailable(cluster)
        return statistic_unavailable(cluster) if self.settings_share() < 1 else ""

    def settings_share(self) -> float:
        return float(self.rule.get("drop", 1.0))

    def inject(self, cluster: Cluster, step: Step) -> None:
        links = self.links(cluster.view(), step)
        step.notes["links"] = links
        if cluster.platform == "local":
            self._inject_by_proxy(cluster, step, links)
        else:
            self._inject_by_kernel(cluster, step, links)

    def observe(self, cluster: Cluster, step: Step) -> None:
        if cluster.platform == "local":
            self._observe_proxy(cluster, step)
        else:
            self._observe_kernel(cluster, step)

    def _inject_by_proxy(self, cluster: LocalCluster, step: Step, links: Links) -> None:
        settings = self.settings(step)
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self.arm(cluster.machine, step, cluster.proxy_script("clear", step.id))
        step.notes["counts"] = proxy_counts(cluster.machine.run(cluster.proxy_script("status")))
        named = [f"{source}>{target}" for source, target in links]
        # the proxy ends the rule by itself as well
        seconds = f"--seconds={step.expiry_seconds}"
        cluster.machine.run(cluster.proxy_script("set", step.id, *named, seconds, *options))

    def _observe_proxy(self, cluster: LocalCluster, step: Step) -> None:
        before, now = step.notes["counts"], proxy_counts(cluster.machine.run(cluster.proxy_script("status")))
        counts = {
            f"{source}>{target}": now.get(f"{source}>{target}", {}).get(self.counted, 0)
            - before.get(f"{source}>{target}", {}).get(self.counted, 0)
            for source, target in step.notes["links"]
        }
        seen = ", ".join(f"{link} {count}" for link, count in counts.items())
        step.saw(
            f"messages are {self.counted} on {len(counts)} links", sum(counts.values()) > 0, f"{self.counted}: {seen}"
        )

    def _inject_by_kernel(self, cluster: KubernetesCluster, step: Step, links: Links) -> None:
        """Prepare it for one node after the other, and then let it begin for all at once.

        A leader whose words are lost while it still hears the others is deposed before it is cut off.
        """
        addresses = {node_id: cluster.address_of(node_id) for node_id in cluster.view().ids}
        begin: dict[Place, list[str]] = {}
        for node_id in sorted({source for source, _ in links} | {target for _, target in links}):
            outgoing = [addresses[target] for source, target in links if source == node_id]
            # what one end drops, the other never sees: the sender's end is enough, but for packets under way
            inside = cluster.inside_network(node_id)
            undo = "\n".join(
                f"{inside} {line}"
                for line in (
                    f"iptables -w -D OUTPUT -j {CHAIN} 2> /dev/null || true",
                    f"iptables -w -F {CHAIN} 2> /dev/null || true",
                    f"iptables -w -X {CHAIN} 2> /dev/null || true",
                    "tc qdisc del dev eth0 root 2> /dev/null || true",
                )
            )
            if not outgoing:
                continue
            place = cluster.place_of(node_id)
            self.arm(place, step, undo, node_id)
            *lines, last = (f"{inside} {line}" for line in self.kernel_lines(step, outgoing))
            place.run("\n".join(["set -e", *lines]))
            begin.setdefault(place, []).append(last)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda place: place.run("\n".join(["set -e", *begin[place]])), begin))

    def kernel_lines(self, step: Step, addresses: list[str]) -> list[str]:
        """Commands that make what a Pod sends to these addresses suffer; with the last one it begins."""
        share = float(self.settings(step).get("drop", 1.0))
        match = "" if share == 1 else f" -m statistic --mode random --probability {share}"
        rules = [f"-d {address}{match} -j DROP" for address in addresses]
        return chain(rules)

    def _observe_kernel(self, cluster: KubernetesCluster, step: Step) -> None:
        counts = {}
        for node_id in sorted({source for source, _ in step.notes["links"]}):
            place, inside = cluster.place_of(node_id), cluster.inside_network(node_id)
            if self.needs_netem:
                counts[node_id] = netem_packets(place.run(f"{inside} tc -s qdisc show dev eth0"))
            else:
                counts[node_id] = chain_packets(place.run(f"{inside} iptables -w -L {CHAIN} -v -x -n"))
        seen = ", ".join(f"{node_id} {count}" for node_id, count in counts.items())
        step.saw("packets are dropped or held", sum(counts.values()) > 0, f"packets by sender: {seen}")


def no_proxy(cluster: Cluster) -> str:
    """Why messages between local nodes can't be touched."""
    if cluster.system != "raft_pkg":
        return f"the proxy between local nodes does not know what nodes of {cluster.system} say to each other"
    return "the nodes reach each other directly: deploy with raft_proxy=true"


def proxy_counts(status: str) -> dict[str, dict[str, int]]:
    """By link, from what `raftctl proxy status --json` prints."""
    return {f"{link['from']}>{link['to']}": link for link in json.loads(status)["links"]}


def chain(rules: list[str]) -> list[str]:
    """Commands that put what a Pod sends through these rules; with the last one it begins."""
    added = [f"iptables -w -A {CHAIN} {rule}" for rule in rules]
    return [f"iptables -w -N {CHAIN}", *added, f"iptables -w -I OUTPUT -j {CHAIN}"]


def chain_packets(listing: str) -> int:
    """Packets that the rules of a chain took, from `iptables -L CHAIN -v -x -n`."""
    rows = [line.split() for line in listing.splitlines()]
    return sum(int(row[0]) for row in rows if len(row) > 2 and row[0].isdecimal() and {"DROP", "REJECT"} & set(row))


def netem_packets(listing: str) -> int:
    """Packets that went through a queue, from `tc -s qdisc`."""
    words = listing.split()
    return int(words[words.index("pkt") - 1]) if "pkt" in words else 0


def both_ways(ones: list[str], others: list[str]) -> Links:
    return [link for one in ones for other in others for link in ((one, other), (other, one))]


def netem_unavailable(cluster: Cluster) -> str:
    place = cluster.places()[-1]
    return _refusal(place, "unshare -n sh -c 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms'", "netem")


def statistic_unavailable(cluster: Cluster) -> str:
    match = "-m statistic --mode random --probability 0.5"
    return _refusal(cluster.places()[-1], f"unshare -n iptables -A OUTPUT {match} -j DROP", "iptables statistic")


def _refusal(place: Place, script: str, what: str) -> str:
    try:
        place.run(script)
    except ShellError as error:
        return f"the kernel has no {what}: {str(error).rpartition('status')[2].strip()[:200]}"
    return ""


class Partition(NetworkFault):
    """The chosen on one side, all others on the other."""

    name = "partition"
    target = "leader"
    forces_election = True

    def links(self, view: View, step: Step) -> Links:
        return both_ways(step.targets, view.others(step.targets))


class PartitionOutgoing(NetworkFault):
    """What the chosen send is lost, what they are sent arrives: a leader that nobody hears."""

    name = "partition-outgoing"
    target = "leader"
    forces_election = True

    def links(self, view: View, step: Step) -> Links:
        return [(one, other) for one in step.targets for other in view.others(step.targets)]


class PartitionIncoming(NetworkFault):
    """What the chosen are sent is lost, what they send arrives: a leader that hears no answers must not go on for ever.

    Its heartbeats arrive, so that only its stepping down lets another lead: no time is promised for that.
    """

    name = "partition-incoming"
    target = "leader"

    def links(self, view: View, step: Step) -> Links:
        return [(other, one) for one in step.targets for other in view.others(step.targets)]

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        return None


class PartitionRing(NetworkFault):
    """Each sees its two neighbours alone: a majority of five, and no two the same."""

    name = "partition-ring"
    target = "all"

    def links(self, view: View, step: Step) -> Links:
        ids = view.ids
        near = (0, 1, len(ids) - 1)
        pairs = [(i, j) for i in range(len(ids)) for j in range(len(ids)) if (i - j) % len(ids) not in near]
        far = [(ids[i], ids[j]) for i, j in pairs]
        if not far:
            raise FaultError(f"a ring needs five nodes, not {len(ids)}")
        return far

    def widen(self, cluster: Cluster, view: View, targets: list[str], rng: Random) -> list[str]:
        return view.ids

    def unavailable(self, cluster: Cluster) -> str:
        count = len(cluster.view().ids)
        return super().unavailable(cluster) or ("" if count >= 5 else f"a ring needs five nodes, and there are {count}")


class Everywhere(NetworkFault):
    """All links; a majority may suffer, so nothing is promised."""

    target = "all"
    seconds = 10.0

    def links(self, view: View, step: Step) -> Links:
        return [(one, other) for one in view.ids for other in view.ids if one != other]


class Loss(Everywhere):
    """A share of what is sent is lost: locally of messages, on Kubernetes of packets, which TCP sends again."""

    name = "loss"
    rule: ClassVar[dict[str, Any]] = {"drop": 0.2}


class Delay(Everywhere):
    """Everything comes late, each message by a time of its own, so that some overtake others."""

    name = "delay"
    rule: ClassVar[dict[str, Any]] = {"delay_ms_min": 5, "delay_ms_max": 40}
    counted = "delayed"
    needs_netem = True

    def kernel_lines(self, step: Step, addresses: list[str]) -> list[str]:
        settings = self.settings(step)
        middle = (settings["delay_ms_min"] + settings["delay_ms_max"]) / 2
        return [f"tc qdisc add dev eth0 root netem delay {middle}ms {settings['delay_ms_max'] - middle}ms"]


class Duplicate(Everywhere):
    """A share of messages comes twice, the second some time after the first."""

    name = "duplicate"
    rule: ClassVar[dict[str, Any]] = {"duplicate": 0.3, "delay_ms_min": 0, "delay_ms_max": 20}
    counted = "duplicated"
    needs_netem = True

    def kernel_lines(self, step: Step, addresses: list[str]) -> list[str]:
        return [f"tc qdisc add dev eth0 root netem duplicate {100 * self.settings(step)['duplicate']}%"]


class Bandwidth(Everywhere):
    """Links take few bytes a second."""

    name = "bandwidth"
    rule: ClassVar[dict[str, Any]] = {"bytes_per_second": 50_000}
    counted = "delayed"
    needs_netem = True

    def kernel_lines(self, step: Step, addresses: list[str]) -> list[str]:
        return [f"tc qdisc add dev eth0 root netem rate {8 * self.settings(step)['bytes_per_second']}bit"]


class Reset(Everywhere):
    """Connections break again and again."""

    name = "reset"
    rule: ClassVar[dict[str, Any]] = {"reset_every_ms": 500}
    counted = "resets"

    def kernel_lines(self, step: Step, addresses: list[str]) -> list[str]:
        # one packet in fifty of a connection is answered by its end
        match = "-p tcp -m statistic --mode random --probability 0.02"
        return chain([f"-d {address} {match} -j REJECT --reject-with tcp-reset" for address in addresses])

    def settings_share(self) -> float:
        return 0.0


class ClientsCut(Fault):
    """The chosen can't talk to clients, but to each other: there is no other leader for clients to find."""

    name = "clients-cut"
    target = "leader"
    seconds = 5.0

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.platform == "local":
            return "local clients reach nodes directly, past the proxy"
        shared = cluster.nodes_beside_client()
        return f"{', '.join(shared)} share the clients' machine, and look like them from others" if shared else ""

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        return None

    def inject(self, cluster: Cluster, step: Step) -> None:
        ways = [(way, address) for way in ("INPUT -s", "OUTPUT -d") for address in cluster.client_addresses()]
        for node_id in step.targets:
            place, inside = cluster.place_of(node_id), cluster.inside_network(node_id)
            lines = [f"{inside} iptables -w -{{}} {way} {address} -p tcp -j DROP" for way, address in ways]
            self.arm(place, step, "\n".join(f"{line.format('D')} || true" for line in lines), node_id)
            place.run(" && ".join(line.format("I") for line in lines))

    def observe(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            place, inside = cluster.place_of(node_id), cluster.inside_network(node_id)
            packets = chain_packets(place.run(f"{inside} iptables -w -L INPUT -v -x -n"))
            step.saw(f"{node_id} hears no client", packets > 0, f"{packets} packets of clients dropped")


FAULTS = (
    Partition,
    PartitionOutgoing,
    PartitionIncoming,
    PartitionRing,
    Loss,
    Delay,
    Duplicate,
    Bandwidth,
    Reset,
    ClientsCut,
)
