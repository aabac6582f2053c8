"""Proposals: commands and new sessions on their way into the log, until their entries are applied or lost."""

from collections.abc import Callable, Iterator

from raft_pkg.core.errors import InvariantError, NotLeaderError
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Entry, EntryKind, Role, SnapshotMetadata
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server import outcomes
from raft_pkg.server.applied import Applied
from raft_pkg.server.applier import Applier
from raft_pkg.server.batcher import Batcher
from raft_pkg.server.in_flight import InFlightRequests
from raft_pkg.server.pending import PendingRequests


class Proposals:
    """Owns the queue of commands and the pending entries: those proposed here and neither applied nor lost."""

    def __init__(
        self,
        raft: Raft,
        applier: Applier,
        in_flight: InFlightRequests,
        *,
        session_ttl: float,
        wall_clock: Callable[[], float],
    ) -> None:
        """`session_ttl` is in seconds of log time; `wall_clock`, in seconds since 1970, becomes log time."""
        self._raft = raft
        self._applier = applier
        self._in_flight = in_flight
        self._session_ttl = session_ttl
        self._wall_clock = wall_clock
        self._batcher = Batcher()
        self._openings: list[PendingRequests] = []
        """Requests to open a session."""
        self._pending_entries: dict[tuple[int, int], list[PendingRequests]] = {}
        """Requests of each pending entry, by its index and term."""
        self._applied_term = 0

    def add_commands(self, commands: PendingRequests, now: float) -> None:
        """Queue admitted commands."""
        self._batcher.add(commands, now)

    def add_opening(self, opening: PendingRequests) -> None:
        """Queue an admitted request to open a session."""
        self._openings.append(opening)

    @property
    def has_commands(self) -> bool:
        """Whether commands are queued."""
        return bool(self._batcher)

    @property
    def has_openings(self) -> bool:
        """Whether requests to open a session are queued."""
        return bool(self._openings)

    def wait_until(self, now: float) -> float | None:
        """Return the time until which queued commands wait for more; None if they are due or there are none."""
        if self._raft.role is not Role.LEADER:
            return None
        return self._batcher.wait_until(now, is_replicating=self._raft.log.last_index > self._applier.index)

    def propose(self, now: float) -> None:
        """Propose all queued requests that are due; fail them with NOT_LEADER on another node."""
        openings, self._openings = self._openings, []
        for opening in openings:
            session = pb.OpenSession(ttl_ms=round(self._session_ttl * 1000), time_ms=self._time_ms())
            self._propose_entry([opening], session.SerializeToString(), EntryKind.OPEN_SESSION)
        if self.wait_until(now) is None:
            for commands in self._batcher.take():
                self._propose_entry(commands, self._serialize(commands), EntryKind.COMMANDS)

    def entry_applied(self, entry: Entry, applied: list[Applied], session_id: int, now: float) -> None:
        """Complete the requests of an applied entry; fail those that can no longer be committed."""
        self._note_applied_term(entry.term)
        commands = self._pending_entries.pop((entry.index, entry.term), None)
        if commands is not None:
            self._complete_applied(commands, applied, session_id)
            self._batcher.expect_more(len(applied), now)

    def snapshot_installed(self, snapshot: SnapshotMetadata) -> None:
        """Complete the requests of entries that a leader's snapshot replaced with UNKNOWN: their results are lost."""
        for position in [position for position in self._pending_entries if position[0] <= snapshot.index]:
            for pending in self._pending_entries.pop(position):
                message = f"entry {position[0]} was replaced by a snapshot before it was applied here"
                self._in_flight.fail(pending, pb.OUTCOME_CODE_UNKNOWN, message)
        self._note_applied_term(snapshot.term)

    def pending_entries(self) -> Iterator[PendingRequests]:
        """Yield the requests of all pending entries: another leader may still commit them."""
        for commands in self._pending_entries.values():
            yield from commands

    def queued(self) -> list[PendingRequests]:
        """Return the requests that were not proposed."""
        return [*self._batcher.pending(), *self._openings]

    def _propose_entry(self, requests: list[PendingRequests], data: bytes, kind: EntryKind) -> None:
        try:
            entry = self._raft.propose(data, kind)
        except NotLeaderError:
            self._in_flight.fail_not_leader(requests)
        else:
            self._pending_entries[entry.index, entry.term] = requests

    def _serialize(self, commands: list[PendingRequests]) -> bytes:
        """Serialize a `CommandEntry`: one batch for consecutive commands without a session, one for each other."""
        entry = pb.CommandEntry(time_ms=self._time_ms())
        batch: pb.CommandBatch | None = None
        for pending in commands:
            if batch is None or batch.session_id or pending.session_id:
                batch = entry.batches.add(
                    session_id=pending.session_id,
                    first_sequence=pending.first_sequence,
                    acknowledged=pending.acknowledged,
                )
            batch.commands.extend(pending.bodies)
        return entry.SerializeToString()

    def _time_ms(self) -> int:
        return int(self._wall_clock() * 1000)

    def _complete_applied(self, commands: list[PendingRequests], applied: list[Applied], session_id: int) -> None:
        count = sum(map(len, commands))
        if count != len(applied):
            raise InvariantError(f"{count} commands were proposed, but their entry has {len(applied)} outcomes")
        stop = 0
        for pending in commands:
            start, stop = stop, stop + len(pending)
            self._in_flight.complete(pending, outcomes.of_applied(pending, applied[start:stop], session_id))

    def _note_applied_term(self, term: int) -> None:
        if term > self._applied_term:
            self._applied_term = term
            self._fail_lost_entries()

    def _fail_lost_entries(self) -> None:
        """Fail pending entries of older terms: terms never decrease along a log, so they can't be applied later."""
        lost = [position for position in self._pending_entries if position[1] < self._applied_term]
        for index, term in lost:
            message = f"entry {index} of term {term} was lost when {self._raft.node_id} lost its leadership"
            self._in_flight.fail_not_leader(self._pending_entries.pop((index, term)), message)
