"""How a node finds its cluster, or bootstraps one with its peers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.messages import Discovery, Message
from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.core.state import RaftState
from raft_pkg.core.types import EntryKind

BOOTSTRAP_TERM = 1
"""Term in which a cluster is bootstrapped; it has no election."""
LEADERS_MAX = 64
"""How many addresses of leaders a node remembers while it belongs to no cluster."""


@dataclass(slots=True)
class BootstrapPeers:
    """What a node without a cluster has learned of others by `Discovery`."""

    peers: Mapping[str, str]
    """The nodes to bootstrap a cluster with, including this one: identity to address."""
    leaders: dict[str, str] = field(default_factory=dict)
    """Leaders that other nodes have named: identity to address."""
    _uninitialized: dict[str, int] = field(default_factory=dict)
    """Incarnations of the peers that belong to no cluster and have the same bootstrap peers."""

    def record(self, sender: str, incarnation: int, discovery: Discovery) -> None:
        """Record what a node reports. Only a reply makes a peer count as uninitialized: a request may be stale."""
        if not discovery.uninitialized or discovery.peers != tuple(sorted(self.peers)):
            self._uninitialized.pop(sender, None)
        elif discovery.is_reply and sender in self.peers:
            self._uninitialized[sender] = incarnation
        if discovery.leader and discovery.leader_address and len(self.leaders) < LEADERS_MAX:
            self.leaders[discovery.leader] = discovery.leader_address

    def initial_configuration(self, node_id: str, incarnation: int) -> Configuration | None:
        """Return the configuration with which this uninitialized node bootstraps the cluster, or None if it must not.

        Only the peer with the smallest identity bootstraps, and only when all others have replied to its current
        incarnation that they are uninitialized. A node that returns with an empty disk meets at least one peer that is
        initialized, so that it does not become a voter again.
        """
        others = [peer for peer in self.peers if peer != node_id]
        if not self.peers or node_id != min(self.peers) or not self._uninitialized.keys() >= set(others):
            return None
        incarnations = {**self._uninitialized, node_id: incarnation}
        return Configuration(tuple(Member(peer, address, incarnations[peer]) for peer, address in self.peers.items()))


class AddressBook:
    """The addresses of the nodes that this node may have to reach."""

    def __init__(self, configuration: EffectiveConfiguration, bootstrap_peers: BootstrapPeers) -> None:
        self._configuration = configuration
        self._bootstrap_peers = bootstrap_peers
        self._joining: Mapping[str, str] = {}
        self._has_changed = True

    def set_joining(self, addresses: Mapping[str, str]) -> None:
        """Replace the addresses of the nodes that are being added to the cluster: identity to HOST:PORT."""
        self._joining = addresses
        self.changed()

    def changed(self) -> None:
        """Note that the configuration or the known leaders may have changed."""
        self._has_changed = True

    def current(self) -> dict[str, str]:
        """Return all addresses: identity to HOST:PORT. Those of the effective configuration take precedence."""
        configuration = self._configuration.current
        known = {} if configuration else {**self._bootstrap_peers.peers, **self._bootstrap_peers.leaders}
        known.update(self._joining)
        known.update({member.node_id: member.address for member in configuration.members if member.address})
        return known

    def take_changed(self) -> dict[str, str] | None:
        """Return all addresses if they may have changed since the last call, otherwise None."""
        if not self._has_changed:
            return None
        self._has_changed = False
        return self.current()


class Bootstrap:
    """Sends and answers `Discovery`, and bootstraps the cluster."""

    def __init__(
        self,
        state: RaftState,
        configuration: EffectiveConfiguration,
        log: ReplicatedLog,
        bootstrap_peers: BootstrapPeers,
        addresses: AddressBook,
    ) -> None:
        self._state = state
        self._configuration = configuration
        self._log = log
        self._bootstrap_peers = bootstrap_peers
        self._addresses = addresses

    @property
    def is_uninitialized(self) -> bool:
        """Whether this node has no log, and has voted for no node and acknowledged nothing: it may bootstrap."""
        # The bootstrapping node may have stopped between writing the bootstrap term and the first entry.
        has_no_vote = self._state.current_term <= BOOTSTRAP_TERM and self._state.voted_for is None
        return has_no_vote and not self._configuration.current and self._state.log.last_index == 0

    def look_for_cluster(self) -> None:
        """Send a discovery to all nodes with known addresses."""
        for node_id in self._addresses.current():
            if node_id != self._state.node_id:
                self.send_discovery(node_id)

    def announce(self) -> None:
        """Send a discovery to all members, if this node is one by its identity.

        They may know it by another incarnation, since the entry that added this one may never have been committed.
        """
        if self._state.node_id in self._configuration.incarnations:
            for peer in self._configuration.peers:
                self.send_discovery(peer)

    def send_discovery(self, node_id: str, *, challenge: int = 0) -> None:
        """Ask a node, in whatever incarnation, what it belongs to; its reply repeats `challenge`."""
        self._state.send(node_id, 0, self._discovery(challenge=challenge))

    def handle_discovery(self, message: Message, discovery: Discovery) -> None:
        """Record what the sender reports, and reply to a request."""
        self._bootstrap_peers.record(message.sender, message.sender_incarnation, discovery)
        if not discovery.is_reply:
            self._state.reply(message, self._discovery(is_reply=True, challenge=discovery.challenge))

    def _discovery(self, *, is_reply: bool = False, challenge: int = 0) -> Discovery:
        peers = self._bootstrap_peers.peers
        leader = self._state.leader or ""
        addresses = self._addresses.current()
        return Discovery(
            self.is_uninitialized,
            tuple(sorted(peers)),
            addresses.get(self._state.node_id) or peers.get(self._state.node_id, ""),
            is_reply,
            leader,
            addresses.get(leader, ""),
            challenge,
        )

    def maybe_bootstrap(self) -> bool:
        """Write the first entry of the log if this node has to. Return whether it did."""
        if not self.is_uninitialized:
            return False
        configuration = self._bootstrap_peers.initial_configuration(self._state.node_id, self._state.incarnation)
        if configuration is None:
            return False
        self._state.current_term = BOOTSTRAP_TERM
        self._log.append_new(EntryKind.CONFIGURATION, configuration.encode())
        return True
