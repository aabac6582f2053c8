"""The configuration that a node uses: the newest one in its log, committed or not (paper §6)."""

from collections.abc import Callable
from dataclasses import dataclass

from raft_pkg.core.configuration import Configuration, Electorate, Number
from raft_pkg.core.ready import ConfigurationChanged
from raft_pkg.core.state import RaftState
from raft_pkg.core.types import EntryKind


@dataclass(slots=True)
class ConfigurationLog:
    """Configurations by log index, oldest first; there is always at least one."""

    _known: list[tuple[int, Configuration]]

    @property
    def newest(self) -> Configuration:
        """The effective configuration."""
        return self._known[-1][1]

    @property
    def newest_index(self) -> int:
        """Index of its entry or snapshot; 0 for the configuration that the node was started with."""
        return self._known[-1][0]

    def at(self, index: int) -> Configuration:
        """Return the newest configuration up to `index`, which must not be below that of the last snapshot."""
        return next(configuration for known, configuration in reversed(self._known) if known <= index)

    def append(self, index: int, configuration: Configuration) -> None:
        """Add the configuration of a new entry."""
        self._known.append((index, configuration))

    def truncate_from(self, index: int) -> bool:
        """Remove the configurations at `index` and above. Return whether the effective configuration changed."""
        before = len(self._known)
        while len(self._known) > 1 and self._known[-1][0] >= index:
            self._known.pop()
        return len(self._known) < before

    def compact(self, index: int) -> None:
        """Remove the configurations that a snapshot at `index` supersedes."""
        while len(self._known) > 1 and self._known[1][0] <= index:
            self._known.pop(0)


class EffectiveConfiguration:
    """Tracks the effective configuration, and counts quorums in it.

    `on_change` is called whenever another configuration takes effect.
    """

    def __init__(self, state: RaftState, initial: Configuration, on_change: Callable[[], None]) -> None:
        """Recover the configurations of snapshot and log; `initial` counts where there is no snapshot."""
        self._state = state
        self._on_change = on_change
        snapshot = state.snapshot
        base = (snapshot.index, snapshot.configuration) if snapshot else (0, initial)
        self._configurations = ConfigurationLog([base])
        for entry in state.log.slice(max(base[0] + 1, state.log.first_index), state.log.last_index + 1):
            if entry.kind is EntryKind.CONFIGURATION:
                self._configurations.append(entry.index, Configuration.decode(entry.data))
        self._refresh()

    def _refresh(self) -> None:
        configuration = self.current
        self._electorate = Electorate(configuration)
        self.is_voter = configuration.is_voter(self._state.node_id, self._state.incarnation)
        """Whether this node, in its incarnation, has a vote."""
        self.incarnations = {member.node_id: member.incarnation for member in configuration.members}
        """Identity to incarnation of all members."""
        self.peers = tuple(peer for peer in self.incarnations if peer != self._state.node_id)
        """Identities of the other members."""

    def _changed(self) -> None:
        self._refresh()
        self._on_change()
        self._state.emit(ConfigurationChanged(self._state.current_term, self.index, self.current))

    @property
    def current(self) -> Configuration:
        """The effective configuration."""
        return self._configurations.newest

    @property
    def index(self) -> int:
        """Log index of the effective configuration; 0 for the one that the node was started with."""
        return self._configurations.newest_index

    @property
    def voters(self) -> tuple[str, ...]:
        """Identities of the voters, of C_new while the configuration is joint."""
        return tuple(member.node_id for member in self.current.voters)

    @property
    def quorum(self) -> int:
        """How many voters are a majority."""
        return self._electorate.quorum

    @property
    def is_promotable(self) -> bool:
        """Whether this node may campaign: it is a voter, or was one until a configuration that may not be committed.

        The entry that removes a voter may exist only in its own log. Then no other node can be elected (dissertation
        §4.2.2).
        """
        if self.is_voter or self.index <= self._state.commit_index:
            return self.is_voter
        return self.at(self.index - 1).is_voter(self._state.node_id, self._state.incarnation)

    def at(self, index: int) -> Configuration:
        """Return the newest configuration up to `index`, which must not be below that of the last snapshot."""
        return self._configurations.at(index)

    def append(self, index: int, configuration: Configuration) -> None:
        """Use the configuration of a new entry."""
        self._configurations.append(index, configuration)
        self._changed()

    def truncate_from(self, index: int) -> None:
        """Return to the newest configuration below `index`, if a newer one was in use."""
        if self._configurations.truncate_from(index):
            self._changed()

    def reset(self, index: int, configuration: Configuration) -> None:
        """Use the configuration of an installed snapshot."""
        self._configurations = ConfigurationLog([(index, configuration)])
        self._changed()

    def compact(self, index: int) -> None:
        """Remove the configurations that a snapshot at `index` supersedes."""
        self._configurations.compact(index)

    def agreed(self, supports: Callable[[str], bool]) -> bool:
        """Return whether a quorum supports something."""
        return self._electorate.agreed(supports)

    def reached_by_quorum(self, own: Number, of_followers: dict[str, Number]) -> Number:
        """Return the greatest value that a quorum has reached, given this node's own and those of its followers."""
        of_followers[self._state.node_id] = own
        return self._electorate.reached(of_followers)
