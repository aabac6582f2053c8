"""A cluster that exists only as observations, to report steps to the safety checker."""

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.types import Entry, EntryKind, HardState, SnapshotMetadata
from raft_pkg.storage import Recovered
from raft_testbed.simulation.safety import Observation, SafetyChecker

VOTERS = ("a", "b", "c")
ABC = Configuration.of(*VOTERS)


def entry(index: int, term: int, data: bytes = b"") -> Entry:
    return Entry(index, term, EntryKind.COMMANDS, data or b"%d/%d" % (index, term))


def log(*terms: int) -> list[Entry]:
    return [entry(index, term) for index, term in enumerate(terms, start=1)]


def change(index: int, term: int, configuration: Configuration) -> Entry:
    return Entry(index, term, EntryKind.CONFIGURATION, configuration.encode())


def observe(
    node: str,
    term: int,
    entries: list[Entry] | None = None,
    *,
    leads: bool = False,
    commit: int = 0,
    configuration: Configuration = ABC,
) -> Observation:
    """Return a node with these entries. Its configuration is the newest of them, or `configuration`."""
    entries = entries or []
    changes = [e for e in entries if e.kind is EntryKind.CONFIGURATION]
    if changes:
        configuration = Configuration.decode(changes[-1].data)
    index = changes[-1].index if changes else 0
    voted_for = node if leads else None
    return Observation(node, 0, term, voted_for, leads, commit, 0, 0, "", 1, 0, entries, None, configuration, index, {})


def snapshot(index: int, term: int, data: bytes = b"state", configuration: Configuration = ABC) -> SnapshotMetadata:
    return SnapshotMetadata(index, term, configuration, len(data), crc32(data))


def commands_of(entry: Entry) -> Sequence[bytes]:
    return [entry.data] if entry.kind is EntryKind.COMMANDS else ()


class ObservedCluster:
    """A leader `a` of term 1 with two entries, which `a` and `b` have on disk, and `c`, whose log is empty."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.checker = SafetyChecker(commands_of)
        self.entries = entries or log(1, 1)
        self.on_disk("a", 1, self.entries, vote="a")
        self.on_disk("b", 1, self.entries, vote="a")
        self.on_disk("c", 1, [], vote="a")
        self.step(observe("b", 1, self.entries))
        self.leader = observe("a", 1, self.entries, leads=True)
        self.step(self.leader)

    def on_disk(
        self, node: str, term: int, entries: list[Entry], vote: str | None = None, incarnation: int = 0
    ) -> None:
        disk = self.checker.disk(node, incarnation)
        disk.append(HardState(term, vote), entries)
        disk.sync()

    def step(self, observation: Observation) -> None:
        if observation.is_leader:
            for voter in VOTERS:
                self.vote(voter, observation)
        self.checker.step_ended(observation)

    def vote(self, voter: str, candidate: Observation, incarnation: int = 0) -> None:
        self.checker.elections.votes.setdefault(((voter, incarnation), candidate.term), candidate.identity)

    def commit(self) -> None:
        self.leader = replace(self.leader, commit_index=2)
        self.step(self.leader)

    def append(self, *entries: Entry, holders: Sequence[str] = ("a", "b"), commit: int = 2) -> None:
        """Let the leader append entries, which `holders` have on disk, and commit up to an index, in one step."""
        for holder in holders:
            self.on_disk(holder, 1, list(entries), vote="a")
        self.entries = [*self.entries, *entries]
        self.leader = observe("a", 1, self.entries, leads=True, commit=commit)
        self.step(self.leader)

    def recover(
        self,
        node: str,
        hard_state: HardState,
        entries: list[Entry],
        *,
        base: tuple[int, int] = (0, 0),
        taken: SnapshotMetadata | None = None,
        incarnation: int = 0,
    ) -> None:
        self.checker.node_started(node, Recovered(hard_state, entries, 0, incarnation, *base, taken))
