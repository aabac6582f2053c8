"""A few cores on a network in memory, in virtual time: a test delivers, loses, duplicates or reorders messages.

Each member writes to a `MemoryStorage`, which loses unsynced writes in a crash. Every step is checked against the
properties of Figure 3 of the paper.
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
    """The properties of Figure 3, checked over the whole history of a cluster."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.committed: list[Entry] = []
        self.replaced = 0
        """How many entries were removed from logs, as in Figure 7."""
        self._written: dict[tuple[int, int], tuple[Entry, int]] = {}

    def check_written(self, raft: Raft, entries: Sequence[Entry]) -> None:
        """Check Log Matching: index and term determine an entry, and the term of the entry before it."""
        for entry in entries:
            previous_term = raft.log.term_at(entry.index - 1)
            assert previous_term is not None
            known = self._written.setdefault((entry.index, entry.term), (entry, previous_term))
            assert known == (entry, previous_term), f"Log Matching: {raft.node_id} wrote {entry}, known is {known}"

    def check_leader(self, raft: Raft, last_log_index: int) -> None:
        """Check Election Safety (one leader per term) and Leader Completeness (it has all committed entries)."""
        elected = self.leaders.setdefault(raft.current_term, raft.node_id)
        assert elected == raft.node_id, f"Election Safety: {elected} and {raft.node_id} in term {raft.current_term}"
        known = self.committed[raft.log.base_index :]  # the entries before are in its snapshot
        held = raft.log.slice(raft.log.first_index, last_log_index + 1)[: len(known)]
        assert held == known, f"Leader Completeness: {raft.node_id} lacks committed entries"

    def check_committed(self, node_id: str, entries: Sequence[Entry]) -> None:
        """Check State Machine Safety: no two nodes apply different entries at one index."""
        for entry in entries:
            if entry.index > len(self.committed):
                assert entry.index == len(self.committed) + 1, f"{node_id} skips entries before {entry}"
                self.committed.append(entry)
            known = self.committed[entry.index - 1]
            assert known == entry, f"State Machine Safety: {node_id} applies {entry}, others {known}"


@dataclass(slots=True)
class Member:
    """One node: its disk, and its core, which is lost in a crash."""

    node_id: str
    disk: MemoryStorage
    raft: Raft | None = None
    last_written: int = 0
    applied: list[Entry] = field(default_factory=list)
    served_reads: dict[int, int] = field(default_factory=dict)
    """Read index by request id."""
    failed_reads: set[int] = field(default_factory=set)


class Cluster:
    """Members by name, messages in flight, and the time."""

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
        """Sender and recipient of each link that loses all messages."""
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
        assert raft is not None, f"{node_id} is not running"
        return raft

    @property
    def running(self) -> list[Raft]:
        """The cores of the running members."""
        return [member.raft for member in self.members.values() if member.raft is not None]

    @property
    def leader(self) -> Raft | None:
        """The leader of the newest term, or None."""
        leaders = [raft for raft in self.running if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.current_term, default=None)

    # --- nodes ------------------------------------------------------------------------------------------------------

    def start(self, node_id: str) -> None:
        """Start a member with the state on its disk."""
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
        """Crash a member; `survivors` of its unsynced records reach its disk."""
        member = self.members[node_id]
        member.disk.crash(survivors=survivors)
        member.raft = None

    def carry_out(self, node_id: str) -> None:
        """Do all work of a member's core."""
        while (ready := self.write(node_id)) is not None:
            self.finish(node_id, ready)

    def write(self, node_id: str) -> Ready | None:
        """Do the work before the sync. Return the `Ready`, or None if there is no work."""
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
        """Sync, and do the rest of the work."""
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
        for request_id, index in ready.reads:
            assert index <= len(member.applied), "a read was served before its index was applied"
            member.served_reads[request_id] = index
        member.failed_reads |= set(ready.failed_reads)

    # --- the network ------------------------------------------------------------------------------------------------

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages; those on a cut link are lost."""
        self.network += [message for message in messages if (message.sender, message.recipient) not in self.cut]

    def isolate(self, *apart: str) -> None:
        """Partition these members from all others."""
        others = set(self.voters) - set(apart)
        self.cut = {pair for one in apart for other in others for pair in ((one, other), (other, one))}

    def heal(self) -> None:
        """Restore all links."""
        self.cut = set()

    def deliver(self, position: int = 0) -> None:
        """Deliver one of the messages in flight, by default the oldest."""
        message = self.network.pop(position)
        if self.members[message.recipient].raft is not None:
            self[message.recipient].receive(message, self.now)
            self.carry_out(message.recipient)

    def deliver_all(self, which: Callable[[Message], bool] = lambda _message: True) -> None:
        """Deliver messages that pass a filter, oldest first, until none is in flight."""
        for _ in range(10_000):
            position = next((number for number, message in enumerate(self.network) if which(message)), None)
            if position is None:
                return
            self.deliver(position)
        raise AssertionError("the nodes do not stop sending messages")

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, node_id: str) -> None:
        """Let the next time-out of one member expire."""
        raft = self[node_id]
        self.now = max(self.now, raft.next_timeout())
        raft.tick(self.now)
        self.carry_out(node_id)

    def elect(self, node_id: str) -> Raft:
        """Let a member campaign until it leads; it may need several terms. Its messages as the leader are in flight."""
        for _ in range(10):
            self.tick(node_id)
            self.deliver_all(lambda message: not isinstance(message.body, AppendEntries))
            if self[node_id].role is Role.LEADER:
                return self[node_id]
        raise AssertionError(f"{node_id} was not elected")

    def run(self, seconds: float) -> None:
        """Let time pass: time-outs expire in order, and messages are delivered at once."""
        end = self.now + seconds
        while True:
            self.deliver_all()
            raft = min(self.running, key=lambda raft: raft.next_timeout())
            if raft.next_timeout() > end:
                self.now = end
                return
            self.tick(raft.node_id)

    def propose(self, node_id: str, data: bytes = b"x") -> Entry:
        """Propose a command to a leader, which writes and sends it."""
        entry = self[node_id].propose(data)
        self.carry_out(node_id)
        return entry
