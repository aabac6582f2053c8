"""A few cores on a network in memory: messages wait until a test delivers, loses, repeats or reorders them.

Deterministic, in virtual time. Each member writes to a `MemoryStorage`, which forgets at a crash what was not synced.
Every step of every member is checked against the paper's properties (Figure 3).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import AppendEntries, Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import BecameLeader, Ready
from raft_pkg.core.types import Entry, HardState, Role
from raft_pkg.storage import MemoryStorage
from tests.support.core import CONFIG, log_of


class Properties:
    """Figure 3, checked step by step over all that ever happened in one cluster."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.committed: list[Entry] = []
        self.replaced = 0
        """How many entries were taken off a log again, as in Figure 7."""
        self._written: dict[tuple[int, int], tuple[Entry, int]] = {}

    def check_written(self, raft: Raft, entries: Sequence[Entry]) -> None:
        """Log Matching: an index and a term say which entry it is, and which one precedes it, and so on."""
        for entry in entries:
            previous_term = raft.log.term_at(entry.index - 1)
            assert previous_term is not None
            known = self._written.setdefault((entry.index, entry.term), (entry, previous_term))
            assert known == (entry, previous_term), f"Log Matching: {raft.node_id} wrote {entry}, known is {known}"

    def check_leader(self, raft: Raft, last_log_index: int) -> None:
        """Election Safety: one leader a term. Leader Completeness: it has all that was ever committed."""
        elected = self.leaders.setdefault(raft.current_term, raft.node_id)
        assert elected == raft.node_id, f"Election Safety: {elected} and {raft.node_id} in term {raft.current_term}"
        known = self.committed[raft.log.base_index :]  # what was before is in its snapshot
        held = raft.log.slice(raft.log.first_index, last_log_index + 1)[: len(known)]
        assert held == known, f"Leader Completeness: {raft.node_id} lacks committed entries"

    def check_committed(self, node_id: str, entries: Sequence[Entry]) -> None:
        """State Machine Safety: no two nodes apply different entries at one index."""
        for entry in entries:
            if entry.index > len(self.committed):
                assert entry.index == len(self.committed) + 1, f"{node_id} left out entries before {entry}"
                self.committed.append(entry)
            known = self.committed[entry.index - 1]
            assert known == entry, f"State Machine Safety: {node_id} applies {entry}, others {known}"


@dataclass(slots=True)
class Member:
    """One node: its disk, which outlives it, and its core, which does not."""

    node_id: str
    disk: MemoryStorage
    raft: Raft | None = None
    last_written: int = 0
    applied: list[Entry] = field(default_factory=list)
    answered_reads: dict[int, int] = field(default_factory=dict)
    """Number and index of each read that the core let go."""
    failed_reads: set[int] = field(default_factory=set)


class Cluster:
    """Members by name, messages under way, and the time."""

    def __init__(
        self,
        voters: Iterable[str] = "abc",
        *,
        logs: Mapping[str, Sequence[int]] | None = None,
        term: int = 0,
        seed: int = 0,
        config: RaftConfig = CONFIG,
    ) -> None:
        self.voters = tuple(voters)
        self.config = config
        self.random = Random(seed)
        self.now = 0.0
        self.network: list[Message] = []
        self.cut: set[tuple[str, str]] = set()
        """Sender and recipient of each link that loses everything."""
        self.properties = Properties()
        self.members = {voter: Member(voter, MemoryStorage()) for voter in self.voters}
        for node_id, member in self.members.items():
            terms = (logs or {}).get(node_id, ())
            self._write_log(member.disk, max(term, *terms, 0), terms)
            self.start(node_id)

    def _write_log(self, disk: MemoryStorage, term: int, terms: Sequence[int]) -> None:
        disk.recover()
        disk.append(HardState(term), log_of(*terms))
        disk.sync()
        disk.close()

    def __getitem__(self, node_id: str) -> Raft:
        raft = self.members[node_id].raft
        assert raft is not None, f"{node_id} does not run"
        return raft

    @property
    def running(self) -> list[Raft]:
        """The cores of the members that run."""
        return [member.raft for member in self.members.values() if member.raft is not None]

    @property
    def leader(self) -> Raft | None:
        """The leader of the newest term, if there is one."""
        leaders = [raft for raft in self.running if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.current_term, default=None)

    # --- nodes ------------------------------------------------------------------------------------------------------

    def start(self, node_id: str) -> None:
        """Start a member with what its disk holds."""
        member = self.members[node_id]
        recovered = member.disk.recover()
        member.applied.clear()
        member.last_written = len(recovered.entries)
        member.raft = Raft(
            node_id,
            Configuration.of(*self.voters),
            config=self.config,
            random=Random(self.random.random()),
            now=self.now,
            hard_state=recovered.hard_state,
            entries=recovered.entries,
            base=(recovered.base_index, recovered.base_term),
            snapshot=recovered.snapshot,
        )

    def crash(self, node_id: str, *, survivors: int = 0) -> None:
        """End a member at once; of what it wrote and did not sync, only so many records are on its disk."""
        member = self.members[node_id]
        member.disk.crash(survivors=survivors)
        member.raft = None

    def carry_out(self, node_id: str) -> None:
        """Do all that a member's core asks for."""
        while (ready := self.write(node_id)) is not None:
            self.finish(node_id, ready)

    def write(self, node_id: str) -> Ready | None:
        """Write what a core asks for, and send what need not wait for the sync; None: it asks for nothing."""
        raft, member = self[node_id], self.members[node_id]
        ready = raft.take_ready()
        ready.addresses = None
        if ready == Ready():
            return None
        self.properties.check_written(raft, ready.entries)
        if ready.entries:
            appends = ready.entries[0].index == member.last_written + 1
            assert appends or raft.role is not Role.LEADER, f"Leader Append-Only: {node_id} replaces its own entries"
            self.properties.replaced += max(0, member.last_written + 1 - ready.entries[0].index)
            member.last_written = ready.entries[-1].index
        member.disk.append(ready.hard_state, ready.entries)
        self.send(ready.early_messages)
        return ready

    def finish(self, node_id: str, ready: Ready) -> None:
        """Sync what `write` wrote, and do the rest."""
        member, raft = self.members[node_id], self[node_id]
        member.disk.sync()
        for raft_event in ready.raft_events:
            if isinstance(raft_event, BecameLeader) and raft_event.term == raft.current_term:
                self.properties.check_leader(raft, raft_event.last_log_index)
        if ready.entries:
            raft.synced(ready.entries[-1])
        self.send(ready.messages)
        member.applied += ready.committed
        self.properties.check_committed(node_id, ready.committed)
        for number, index in ready.reads:
            assert index <= len(member.applied), "a read was let go before what it must see was applied"
            member.answered_reads[number] = index
        member.failed_reads |= set(ready.failed_reads)

    # --- the network ------------------------------------------------------------------------------------------------

    def send(self, messages: Iterable[Message]) -> None:
        """Messages leave; those on a link that is cut are lost."""
        self.network += [message for message in messages if (message.sender, message.recipient) not in self.cut]

    def isolate(self, *apart: str) -> None:
        """Cut these members off from all others, and leave them connected among themselves."""
        others = set(self.voters) - set(apart)
        self.cut = {pair for one in apart for other in others for pair in ((one, other), (other, one))}

    def heal(self) -> None:
        """Mend all links."""
        self.cut = set()

    def deliver(self, position: int = 0) -> None:
        """Deliver one message of those under way, by default the oldest."""
        message = self.network.pop(position)
        if self.members[message.recipient].raft is not None:
            self[message.recipient].receive(message, self.now)
            self.carry_out(message.recipient)

    def deliver_all(self, which: Callable[[Message], bool] = lambda _message: True) -> None:
        """Deliver messages, oldest first, until none (of those that are meant) is under way."""
        for _ in range(10_000):
            position = next((place for place, message in enumerate(self.network) if which(message)), None)
            if position is None:
                return
            self.deliver(position)
        raise AssertionError("the nodes do not stop to talk")

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, node_id: str) -> None:
        """Let a member's next time-out pass, and only its."""
        raft = self[node_id]
        self.now = max(self.now, raft.next_timeout())
        raft.tick(self.now)
        self.carry_out(node_id)

    def elect(self, node_id: str) -> Raft:
        """Make a member the leader of a new term; it may have to stand more than once, where the others know newer
        terms or have voted. What it sends as the leader is still under way."""
        for _ in range(10):
            self.tick(node_id)
            self.deliver_all(lambda message: not isinstance(message.body, AppendEntries))
            if self[node_id].role is Role.LEADER:
                return self[node_id]
        raise AssertionError(f"{node_id} was not elected")

    def run(self, seconds: float) -> None:
        """Let time pass: every time-out in its order, every message delivered at once."""
        end = self.now + seconds
        while True:
            self.deliver_all()
            raft = min(self.running, key=lambda raft: raft.next_timeout())
            if raft.next_timeout() > end:
                self.now = end
                return
            self.tick(raft.node_id)

    def propose(self, node_id: str, data: bytes = b"x") -> Entry:
        """Give a command to a leader, which writes and sends it."""
        entry = self[node_id].propose(data)
        self.carry_out(node_id)
        return entry
