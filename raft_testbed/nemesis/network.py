"""Faults of the network: partitions, loss, delay, duplication, and clients that are cut off.

A fault chooses links and what happens to their traffic, as a `LinkRule` of the proxy. A driver applies it: to whole
messages in a proxy between the nodes, or to packets in the kernel. In the kernel, a loss in one direction of a TCP
connection stalls the other direction too, once acknowledgements or the send window are exhausted.
"""

from random import Random
from typing import Any, ClassVar

from raft_testbed.nemesis.cluster import Cluster, require
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.fault import Affected, Fault
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import ClusterView
from raft_testbed.proxy.link_rules import ANY_NODE, Link, LinkRule


class NetworkFault(Fault):
    """A fault of some links, each in one direction. `defaults` are members of `LinkRule`."""

    needs = ("network",)
    defaults: ClassVar[dict[str, Any]] = {"drop": 1.0}
    seconds = 7.0
    unresponsive = True

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        """Return the sender and receiver of each affected link."""
        raise NotImplementedError

    def unavailable(self, cluster: Cluster) -> str:
        sample = make_rule([(ANY_NODE, ANY_NODE)], self.defaults)
        return super().unavailable(cluster) or require(cluster.network).unavailable(sample)

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        rule = make_rule(self.links(cluster.view(), injection.targets), self.settings(injection.record))
        injection.memory["rule"] = rule.to_json()
        require(cluster.network).apply(injection, rule)

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        rule = LinkRule.from_json(injection.memory["rule"])
        injection.record.evidence.append(require(cluster.network).effect(injection, rule))


def make_rule(links: list[Link], settings: dict[str, Any]) -> LinkRule:
    """Return the rule with these settings for the links. Raise `ConfigurationError` if a setting is invalid."""
    return LinkRule.from_json({**settings, "links": links})


def both_directions(ones: list[str], others: list[str]) -> list[Link]:
    """Return the links between two groups of nodes."""
    return [link for one in ones for other in others for link in ((one, other), (other, one))]


class Partition(NetworkFault):
    """Separate the targets from all other nodes."""

    name = "partition"
    target = "leader"
    forces_election = True

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        return both_directions(targets, view.others(targets))


class PartitionOutgoing(NetworkFault):
    """Drop the targets' outbound traffic; inbound traffic arrives."""

    name = "partition-outgoing"
    target = "leader"
    forces_election = True

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        return [(one, other) for one in targets for other in view.others(targets)]


class PartitionIncoming(NetworkFault):
    """Drop the targets' inbound traffic; outbound traffic arrives.

    A leader's heartbeats arrive, so only its stepping down (CheckQuorum) lets another node lead: no SLO.
    """

    name = "partition-incoming"
    affected = Affected.MAJORITY
    target = "leader"

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        return [(other, one) for one in targets for other in view.others(targets)]


class PartitionRing(NetworkFault):
    """Connect each node with its two neighbours only: every node sees a majority of five, and no two see the same."""

    name = "partition-ring"
    target = "all"

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        ids = view.ids
        near = (0, 1, len(ids) - 1)
        pairs = [(i, j) for i in range(len(ids)) for j in range(len(ids)) if (i - j) % len(ids) not in near]
        far = [(ids[i], ids[j]) for i, j in pairs]
        if not far:
            raise FaultError(f"a ring needs five nodes, not {len(ids)}")
        return far

    def expand_targets(self, cluster: Cluster, view: ClusterView, targets: list[str], rng: Random) -> list[str]:
        return view.ids

    def unavailable(self, cluster: Cluster) -> str:
        reason = super().unavailable(cluster)
        if reason:
            return reason
        count = len(cluster.view().ids)
        return "" if count >= 5 else f"a ring needs five nodes, not {count}"


class AllLinksFault(NetworkFault):
    """A fault of every link."""

    target = "all"
    seconds = 10.0

    def links(self, view: ClusterView, targets: list[str]) -> list[Link]:
        return [(one, other) for one in view.ids for other in view.ids if one != other]


class Loss(AllLinksFault):
    """Drop a share of the traffic: of messages in the proxy, of packets in the kernel, where TCP retransmits them."""

    name = "loss"
    defaults: ClassVar[dict[str, Any]] = {"drop": 0.2}


class Delay(AllLinksFault):
    """Delay each message by a random time, so that messages overtake each other."""

    name = "delay"
    defaults: ClassVar[dict[str, Any]] = {"delay_ms_min": 5, "delay_ms_max": 40}


class Duplicate(AllLinksFault):
    """Deliver a share of the messages twice, the second copy after a delay of its own."""

    name = "duplicate"
    defaults: ClassVar[dict[str, Any]] = {"duplicate": 0.3, "delay_ms_min": 0, "delay_ms_max": 20}


class Bandwidth(AllLinksFault):
    """Limit the bandwidth of each link."""

    name = "bandwidth"
    defaults: ClassVar[dict[str, Any]] = {"bytes_per_second": 50_000}


class Reset(AllLinksFault):
    """Break connections repeatedly."""

    name = "reset"
    defaults: ClassVar[dict[str, Any]] = {"reset_every_ms": 500}


class ClientPartition(Fault):
    """Separate the targets from the clients, but not from each other: the cluster keeps its leader."""

    name = "client-partition"
    needs = ("client_network",)
    affected = Affected.MAJORITY
    target = "leader"
    seconds = 5.0

    def unavailable(self, cluster: Cluster) -> str:
        return super().unavailable(cluster) or require(cluster.client_network).unavailable()

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        require(cluster.client_network).cut(injection)

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            packets = require(cluster.client_network).dropped_packets(node_id)
            injection.record.add_evidence(
                f"{node_id} receives nothing from clients", packets > 0, f"{packets} packets of clients dropped"
            )


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
    ClientPartition,
)
