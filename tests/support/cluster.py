"""A few cores on a network in memory: messages wait until a test delivers, drops, repeats or reorders them.

Deterministic, in virtual time. Each member writes to a `MemoryStorage`, which loses unsynced writes in a crash. The
simulator's safety checker checks every step, message and write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration
from raft_pkg.core.messages import AppendEntries, Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import Ready
from raft_pkg.core.types import Entry, HardState, Role
from raft_pkg.storage import MemoryStorage
from raft_testbed.simulation.probes import CheckedStorage
from raft_testbed.simulation.safety import Observation, SafetyChecker
from tests.support.core import CONFIG, log_of


@dataclass(slots=True)
class Member:
    """One node: its disk, which outlives it, and its core. Its state machine is the sequence of applied entries."""

    node_id: str
    disk: MemoryStorage
    storage: CheckedStorage
    """The storage on the disk, which reports to the safety checker."""
    raft: Raft | None = None
    last_written: int = 0
    applied: list[Entry] = field(default_factory=list)
    applied_digest: int = 0
    served_reads: dict[int, int] = field(default_factory=dict)
    """Index of each served read by request id."""
    failed_reads: set[int] = field(default_factory=set)

    def apply(self, entries: Iterable[Entry]) -> None:
        """Apply committed entries."""
        for entry in entries:
            self.applied.append(entry)
            self.applied_digest = crc32(effect_of(entry), self.applied_digest)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Replace the state, by that of a snapshot."""
        self.applied, self.applied_digest = [], 0
        self.apply(entries)


def effect_of(entry: Entry) -> bytes:
    """Return what the safety checker compares of an applied entry."""
    return b"%d %d %d " % (entry.index, entry.term, entry.kind) + entry.data


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
        """Sender and recipient of each link that loses everything."""
        self.checker = SafetyChecker(lambda entry: [effect_of(entry)], Configuration.of(*self.voters))
        self.replaced = 0
        """Number of entries that were replaced in a log, as in Figure 7."""
        self.members = {voter: self.member(voter, MemoryStorage(new_incarnation=lambda: 0)) for voter in self.voters}
        for node_id, member in self.members.items():
            terms = (logs or {}).get(node_id, ())
            self._write_log(member.storage, max(term, *terms, 0), terms)
            self.start(node_id)

    def member(self, node_id: str, disk: MemoryStorage) -> Member:
        """Return a member that is not running."""
        return Member(node_id, disk, CheckedStorage(node_id, disk, self.checker))

    def _write_log(self, storage: CheckedStorage, term: int, terms: Sequence[int]) -> None:
        storage.recover()
        storage.append(HardState(term), log_of(*terms))
        storage.sync()
        storage.close()

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
        """The leader of the newest term, if there is one."""
        leaders = [raft for raft in self.running if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.current_term, default=None)

    @property
    def committed(self) -> list[Entry]:
        """All entries that any member has committed."""
        return [committed.entry for committed in self.checker.commits.entries]

    # --- nodes ------------------------------------------------------------------------------------------------------

    def start(self, node_id: str) -> None:
        """Start a member from its disk."""
        member = self.members[node_id]
        recovered = member.storage.recover()
        member.restore(())
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
        """End a member now. Of its unsynced records, the first `survivors` are on its disk afterwards."""
        self.check(node_id)
        member = self.members[node_id]
        member.disk.crash(survivors=survivors)
        member.raft = None

    def carry_out(self, node_id: str) -> None:
        """Do everything that a member's core asks for."""
        while (ready := self.write(node_id)) is not None:
            self.finish(node_id, ready)

    def write(self, node_id: str) -> Ready | None:
        """Write what a core asks for, and send what need not wait for the sync. None: the core asks for nothing."""
        raft, member = self[node_id], self.members[node_id]
        ready = raft.take_ready()
        ready.addresses = None
        if ready == Ready():
            self.check(node_id)
            return None
        if ready.entries:
            self.replaced += max(0, member.last_written + 1 - ready.entries[0].index)
            member.last_written = ready.entries[-1].index
        member.storage.append(ready.hard_state, ready.entries)
        self.send(ready.early_messages)
        return ready

    def finish(self, node_id: str, ready: Ready) -> None:
        """Sync what `write` wrote, and do the rest."""
        member, raft = self.members[node_id], self[node_id]
        member.storage.sync()
        if ready.entries:
            raft.synced(ready.entries[-1])
        self.send(ready.messages)
        member.apply(ready.committed)
        for request_id, index in ready.reads:
            assert index <= len(member.applied), "a read was served before its index was applied"
            member.served_reads[request_id] = index
        member.failed_reads |= set(ready.failed_reads)

    def check(self, node_id: str) -> None:
        """Check a member at the end of a step, or at its crash within one."""
        member = self.members[node_id]
        self.checker.step_ended(Observation.of(self[node_id], len(member.applied), member.applied_digest, ""))
        member.storage.check_snapshots()

    # --- the network ------------------------------------------------------------------------------------------------

    def send(self, messages: Iterable[Message]) -> None:
        """Check messages and send them; cut links lose them."""
        for message in messages:
            self.checker.message_sent(message)
            if (message.sender, message.recipient) not in self.cut:
                self.network.append(message)

    def isolate(self, *apart: str) -> None:
        """Cut these members off from all others; they stay connected to each other."""
        others = set(self.voters) - set(apart)
        self.cut = {pair for one in apart for other in others for pair in ((one, other), (other, one))}

    def heal(self) -> None:
        """Restore all links."""
        self.cut = set()

    def deliver(self, position: int = 0) -> None:
        """Deliver one message in flight, by default the oldest."""
        message = self.network.pop(position)
        if self.members[message.recipient].raft is not None:
            self[message.recipient].receive(message, self.now)
            self.carry_out(message.recipient)

    def deliver_all(self, which: Callable[[Message], bool] = lambda _message: True) -> None:
        """Deliver messages, oldest first, until none that `which` accepts is in flight."""
        for _ in range(10_000):
            position = next((index for index, message in enumerate(self.network) if which(message)), None)
            if position is None:
                return
            self.deliver(position)
        raise AssertionError("the nodes do not stop sending messages")

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, node_id: str) -> None:
        """Let the next time-out of one member pass."""
        raft = self[node_id]
        self.now = max(self.now, raft.next_timeout())
        raft.tick(self.now)
        self.carry_out(node_id)

    def elect(self, node_id: str) -> Raft:
        """Make a member the leader of a new term.

        It may have to campaign several times, if others know newer terms or have voted. Its first AppendEntries are
        in flight afterwards.
        """
        for _ in range(10):
            self.tick(node_id)
            self.deliver_all(lambda message: not isinstance(message.body, AppendEntries))
            if self[node_id].role is Role.LEADER:
                return self[node_id]
        raise AssertionError(f"{node_id} was not elected")

    def run(self, seconds: float) -> None:
        """Let time pass: time-outs in order, and each message delivered immediately."""
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
