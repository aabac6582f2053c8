"""The one loop that joins core, storage, transport and state machine.

One task owns the core. Everybody else puts work into the inbox and wakes the task; a turn takes all that has come,
so that commands of many clients share one log entry, one sync and one append per follower. Then `Ready` is carried
out in its order: send what promises nothing, write, sync, send the rest, apply, answer.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.membership import Change, ChangeRefusedError
from raft_pkg.core.messages import Message
from raft_pkg.core.raft import InvariantError, NotLeaderError, Raft, TransferRefusedError
from raft_pkg.core.ready import (
    BecameFollower,
    ChangeCompleted,
    ChangeFailed,
    ElectionStarted,
    LeaderChanged,
    PreVoteStarted,
    RaftEvent,
    Ready,
    TransferEnded,
)
from raft_pkg.core.types import Entry, EntryKind, Role, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import RequestType, request_count, request_type, validate
from raft_pkg.server import outcomes
from raft_pkg.server.batcher import Gathering
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.pending import COMMAND_OVERHEAD_BYTES, PendingRequests, size_of
from raft_pkg.server.raft_events import log_raft_event, names_of
from raft_pkg.server.sessions import Applied, SessionedMachine
from raft_pkg.server.snapshots import Executor, Snapshots, inline
from raft_pkg.server.state_hash import IDLE_SECONDS, STATE_HASH_INTERVAL
from raft_pkg.server.state_machine import StateMachine
from raft_pkg.storage.interface import Storage

QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Commands that were taken and not yet applied, in bytes; more are refused (BUSY)."""
COMMAND_BYTES_MAX = 2 * 1024 * 1024
"""No single command or query may be larger; the state machine has narrower limits of its own."""
ITERATION_SECONDS_MAX = 1.0
"""The loop turns at least so often, in seconds, and once a heartbeat interval: turning is its sign of life."""
CATCH_UP_SECONDS = 0.01
"""How long messages may come in after a long time without a turn, before time-outs count."""


class Transport(Protocol):
    """Takes messages to peers. Never waits; what can't be sent is lost, which Raft bears."""

    def reach(self, addresses: Mapping[str, str]) -> None:
        """From now on these are the nodes that messages may go to: identity to HOST:PORT."""
        ...

    def meet(self, node_id: str, address: str) -> None:
        """A node has sent something, and can be answered at this address, if it can't be reached otherwise."""
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Queue the messages for their recipients, in order; those to nodes with no known address are lost."""
        ...


class Node:
    """One running node. `run` is its life; `submit` and `deliver` are called from the same event loop."""

    def __init__(
        self,
        config: ServerConfig,
        storage: Storage,
        state_machine: StateMachine,
        transport: Transport,
        log: EventLog,
        *,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        executor: Executor = inline,
    ) -> None:
        """Recover what the storage holds. Raises `StorageError`.

        `clock` is in seconds of any monotonic clock, `wall_clock` in seconds since 1970: it becomes log time. What
        `elsewhere` does, the loop does not wait for.
        """
        recovered = storage.recover()
        self.config = config
        self._storage = storage
        self._machine = SessionedMachine(state_machine)
        self._snapshots = Snapshots(config, storage, self._machine, executor, self._wake_from_executor)
        self._transport = transport
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self.raft = Raft(
            config.node_id,
            Configuration(),
            config=config.raft,
            random=random or Random(),
            now=clock(),
            incarnation=recovered.incarnation,
            hard_state=recovered.hard_state,
            entries=recovered.entries,
            base=(recovered.base_index, recovered.base_term),
            snapshot=recovered.snapshot,
            peers=config.peers,
        )
        if recovered.snapshot is not None:
            self._snapshots.recover(recovered.snapshot)
        self.applied_index = self.raft.commit_index
        self.started_at = clock()
        self.on_leader_changed: Callable[[str | None], None] = lambda _leader: None
        """Called with the leader whenever this node follows another one than before."""
        self.last_iteration_at = clock()
        """When the loop last took a turn: its sign of life."""
        self._messages: list[Message] = []
        self._unreachable_peers: list[str] = []
        self._commands = Gathering()
        self._openings: list[PendingRequests] = []
        """Sessions that are to be opened."""
        self._queries: list[PendingRequests] = []
        self._queries_of_any_node: list[PendingRequests] = []
        self._queued_bytes = 0
        self._pending_entries: dict[tuple[int, int], list[PendingRequests]] = {}
        """Index and term of each entry proposed here that was not yet seen to be committed or lost."""
        self._applied_term = 0
        self._published_index = 0
        """Of the newest state hash that was logged."""
        self._idle_index = 0
        self._idle_since = 0.0
        """Since when the applied index has been `_idle_index`."""
        self._pending_reads: dict[int, list[PendingRequests]] = {}
        self._transfers: list[tuple[str, asyncio.Future[None]]] = []
        self._transfer_under_way: tuple[str, asyncio.Future[None]] | None = None
        self._changes: list[tuple[Change, asyncio.Future[int]]] = []
        self._change_under_way: asyncio.Future[int] | None = None
        self._dirty: set[Waiter] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that `run` runs in."""
        self._ended = asyncio.Event()
        self._stop_reason: str | None = None
        log.emit(
            Event.LOG_RECOVERED,
            term=self.raft.current_term,
            last_log_index=self.raft.log.last_index,
            voted_for=self.raft.voted_for,
            torn_bytes=recovered.torn_bytes,
            snapshot_index=self.applied_index,
            incarnation=recovered.incarnation,
            **names_of(self.raft.configuration),
        )

    # --- what others call -------------------------------------------------------------------------------------------

    def deliver(self, messages: Sequence[Message], address: str = "") -> None:
        """Messages of one node have arrived, which takes connections at `address` (empty: it did not say)."""
        if messages and address:
            self._transport.meet(messages[0].sender, address)
        self._messages += messages
        self._wake.set()

    def peer_unreachable(self, peer: str) -> None:
        """A peer's machine refuses connections: its process has ended."""
        self._unreachable_peers.append(peer)
        self._wake.set()

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """A client's commands and queries have arrived; each is settled once, in any order.

        `session_id` and `acknowledged` are those of their `RequestBatch`.
        """
        now = self._clock()
        turn = self._gather_until(now) is None
        for request in requests:
            kind = request_type(request)
            whole = _pending(waiter, request, kind, session_id, acknowledged)
            mistake = validate(request, session_id)
            if mistake:
                self._settle(whole, pb.OUTCOME_CODE_INVALID, f"request {request.id}: {mistake}")
                continue
            for pending in whole.chunks():
                refusal = self._refusal(pending)
                if refusal is not None:
                    self._settle(pending, *refusal)
                    continue
                self._queued_bytes += pending.size
                if kind == "commands":
                    self._commands.add(pending, now)
                else:
                    self._queue_for(request, kind).append(pending)
                    turn = True
        self._flush_waiters()
        if turn or self._gather_until(now) is None:  # else the loop will turn when what gathers is due
            self._wake.set()

    def _refusal(self, pending: PendingRequests) -> tuple[pb.OutcomeCode.ValueType, str] | None:
        """Why requests are not even queued; None when they are."""
        size = pending.size - COMMAND_OVERHEAD_BYTES
        if len(pending) == 1 and size > COMMAND_BYTES_MAX:
            return pb.OUTCOME_CODE_INVALID, f"request {pending.first_id}: {size} bytes, at most {COMMAND_BYTES_MAX}"
        if self._stop_reason is not None:
            return pb.OUTCOME_CODE_UNAVAILABLE, f"{self.config.node_id} is stopping"
        if self._queued_bytes + pending.size > QUEUED_BYTES_MAX:
            return pb.OUTCOME_CODE_BUSY, f"more than {QUEUED_BYTES_MAX} bytes of commands wait"
        return None

    def _queue_for(self, request: pb.Request, kind: RequestType | None) -> list[PendingRequests]:
        if kind == "queries":
            return self._queries_of_any_node if request.any_node else self._queries
        return self._openings

    def transfer_leadership(self, target: str) -> asyncio.Future[None]:
        """Hand leadership over to `target`; done when it leads.

        The future raises `NotLeaderError`, and `TransferRefusedError` with the reason.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stop_reason is not None:
            future.set_exception(TransferRefusedError(f"{self.config.node_id} is stopping"))
            return future
        self._transfers.append((target, future))
        self._wake.set()
        return future

    def change_members(self, change: Change) -> asyncio.Future[int]:
        """Make one change of the members (§6); done, with the configuration's index, when that is committed.

        The future raises `NotLeaderError` (also when leadership is lost meanwhile: the change may come or not), and
        `ChangeRefusedError` with the reason.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._stop_reason is not None:
            future.set_exception(ChangeRefusedError(f"{self.config.node_id} is stopping"))
            return future
        self._changes.append((change, future))
        self._wake.set()
        return future

    def stop(self, reason: str) -> None:
        """Ask `run` to end."""
        self._stop_reason = self._stop_reason or reason
        self._wake.set()

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of a stream, but not beyond this node's life; what it raises is raised."""
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            ended.cancel()
            task.cancel()

    @property
    def leader_address(self) -> str:
        """Where this node believes the leader to be; empty when it knows of none."""
        return self.raft.addresses.get(self.raft.leader or "", "")

    async def run(self) -> str:
        """Turn until `stop`; returns its reason. Raises `StorageError` and `InvariantError`: the node must end."""
        self._loop = asyncio.get_running_loop()
        try:
            while self._stop_reason is None:
                for _ in self.iterate():
                    await asyncio.sleep(0)
                await self._sleep()
        except StorageError as error:
            self._stop_reason = str(error)
            self._log.emit(Event.STORAGE_FAILED, term=self.raft.current_term, error=str(error))
            raise
        except InvariantError as error:
            self._stop_reason = str(error)
            self._log.emit(Event.INVARIANT_VIOLATED, term=self.raft.current_term, error=str(error))
            raise
        finally:
            self._stop_reason = self._stop_reason or "unexpected error"
            self._snapshots.settle()
            self._release_waiters()
            self._ended.set()
        return self._stop_reason

    def _wake_from_executor(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    # --- a turn -----------------------------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Until there is work or the core's next time-out; always lets other tasks run."""
        if self.is_busy:
            await asyncio.sleep(0)
        else:
            await self._wait_for_work()
        if self._clock() - self.last_iteration_at > 2 * self.config.heartbeat_interval:
            # A slow disk or a pause kept this node from hearing what others said; that is no silence of theirs.
            await asyncio.sleep(CATCH_UP_SECONDS)
        self._wake.clear()

    async def _wait_for_work(self) -> None:
        delay = max(self.next_timeout() - self._clock(), 0)
        delay = min(delay, ITERATION_SECONDS_MAX, self.config.heartbeat_interval)
        # The loop's timers know whole milliseconds. One that is rounded down would only let it turn in vain.
        timer = asyncio.get_running_loop().call_later(math.ceil(delay * 1000) / 1000, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def next_timeout(self) -> float:
        """The time at which a turn has something to do even if nothing comes."""
        timeout = self.raft.next_timeout()
        if self._hands_over:
            return timeout
        if self._openings or self._queries or self._queries_of_any_node:  # a transfer has ended that they waited for
            return self.last_iteration_at
        if not self._commands:
            return timeout
        return min(timeout, self._gather_until(self.last_iteration_at) or self.last_iteration_at)

    def run_iteration(self) -> None:
        """Take in all that has come, then do all that the core asks for."""
        for _ in self.iterate():
            pass

    def iterate(self) -> Iterator[None]:
        """A turn, which halts where what the transport was given can leave before disk or state machine take long."""
        now = self.last_iteration_at = self._clock()
        messages, self._messages = self._messages, []
        for message in messages:
            self.raft.receive(message, now)
        gone, self._unreachable_peers = self._unreachable_peers, []
        for peer in gone:
            self.raft.peer_unreachable(peer, now)
        self.raft.tick(now)
        if self._transfers or self._changes:
            yield from self._carry_out_all()  # the raft_events so far are about those before
            self._start_transfers(now)
            self._start_changes(now)
        self._propose_commands(now)
        self._request_reads()
        yield from self._carry_out_all()
        self._work_on_snapshot()
        self._publish_when_idle(now)
        self._flush_waiters()

    def _start_transfers(self, now: float) -> None:
        transfers, self._transfers = self._transfers, []
        for target, future in transfers:
            try:
                self.raft.transfer_leadership(target, now)
            except (NotLeaderError, TransferRefusedError) as error:
                _refuse(future, error)
            else:
                self._end_transfer(TransferRefusedError(f"{target} was named after it"))
                self._transfer_under_way = target, future

    def _end_transfer(self, error: TransferRefusedError | None) -> None:
        if self._transfer_under_way is not None:
            _, future = self._transfer_under_way
            self._transfer_under_way = None
            if error is not None:
                _refuse(future, error)
            elif not future.done():
                future.set_result(None)

    def _start_changes(self, now: float) -> None:
        changes, self._changes = self._changes, []
        for change, future in changes:
            try:
                self.raft.change_members(change, now)
            except (NotLeaderError, ChangeRefusedError) as error:
                _refuse(future, error)
            else:
                self._change_under_way = future

    def _end_change(self, error: NotLeaderError | ChangeRefusedError | None, index: int = 0) -> None:
        future, self._change_under_way = self._change_under_way, None
        if future is None:
            return
        if error is not None:
            _refuse(future, error)
        elif not future.done():
            future.set_result(index)

    def _gather_until(self, now: float) -> float | None:
        """Until when commands wait for more of them; None: they do not, or there are none."""
        if not self.is_leader:
            return None
        return self._commands.wait_until(now, is_under_way=self.raft.log.last_index > self.applied_index)

    @property
    def _hands_over(self) -> bool:
        """Leadership is on its way to another node: commands wait here until it is known who leads.

        Those of followers as well, as this node is one already when it has heard of the election and not of its end:
        their clients would have to look for the new leader when there is none yet.
        """
        return self._transfer_under_way is not None

    def _propose_commands(self, now: float) -> None:
        if self._hands_over:
            return
        openings, self._openings = self._openings, []
        for opening in openings:
            session = pb.OpenSession(ttl_ms=round(self.config.session_ttl * 1000), time_ms=self._time_ms())
            self._propose_entry([opening], session.SerializeToString(), EntryKind.OPEN_SESSION)
        if self._gather_until(now) is None:
            for commands in self._commands.take():
                self._propose_entry(commands, self._batch(commands), EntryKind.COMMANDS)

    def _batch(self, commands: list[PendingRequests]) -> bytes:
        batch = pb.CommandEntry(time_ms=self._time_ms())
        row: pb.CommandBatch | None = None
        for pending in commands:
            if row is None or row.session_id or pending.session_id:
                row = batch.batches.add(
                    session_id=pending.session_id,
                    first_sequence=pending.first_sequence,
                    acknowledged=pending.acknowledged,
                )
            row.commands.extend(pending.bodies)
        return batch.SerializeToString()

    def _time_ms(self) -> int:
        return int(self._wall_clock() * 1000)

    def _propose_entry(self, commands: list[PendingRequests], data: bytes, kind: EntryKind) -> None:
        try:
            entry = self.raft.propose(data, kind)
        except NotLeaderError:
            self._refuse_not_leader(commands)
        else:
            self._pending_entries[entry.index, entry.term] = commands

    def _request_reads(self) -> None:
        """One read of the core serves all queries of this turn that any node may answer, and one all the others."""
        if self._hands_over and not self.is_leader:
            return
        queries, self._queries = self._queries, []
        self._request_read(queries, any_node=False)
        queries, self._queries_of_any_node = self._queries_of_any_node, []
        self._request_read(queries, any_node=True)

    def _request_read(self, queries: list[PendingRequests], *, any_node: bool) -> None:
        if not queries:
            return
        try:
            self._pending_reads[self.raft.read_index(any_node=any_node)] = queries
        except NotLeaderError:
            self._refuse_not_leader(queries)

    def _carry_out_all(self) -> Iterator[None]:
        while (yield from self._carry_out(self.raft.take_ready())):
            pass

    def _carry_out(self, ready: Ready) -> Generator[None, None, bool]:
        """Do what `Ready` asks for, in its order; True if the core may ask for more at once."""
        if ready.addresses is not None:
            self._transport.reach(ready.addresses)
        self._transport.send(ready.early_messages)
        if ready.early_messages and ready.entries:
            yield
        wrote = self._write(ready)
        for message, body in ready.snapshot_messages:
            self._transport.send([self._snapshots.fill(message, body, self.config.raft.snapshot_chunk_bytes)])
        if wrote:
            self._storage.sync()
            if ready.entries:
                self.raft.synced(ready.entries[-1])
        self._transport.send(ready.messages)
        if ready.messages and ready.committed:
            yield
        self._apply_and_answer(ready)
        return wrote

    def _apply_and_answer(self, ready: Ready) -> None:
        for raft_event in ready.raft_events:
            self._handle_raft_event(raft_event)
        for entry in ready.committed:
            self._apply(entry)
        for number, index in ready.reads:
            self._answer_reads(number, index)
        for number in ready.failed_reads:
            self._refuse_not_leader(self._pending_reads.pop(number))

    def _write(self, ready: Ready) -> bool:
        """Write term and vote, chunks of a snapshot, and entries; whether there was anything to write."""
        hard_state = ready.hard_state
        if ready.chunks:
            self._storage.append(hard_state, ())
            self._storage.sync()
            hard_state = None
            for chunk in ready.chunks:
                installed = self._snapshots.keep(chunk)
                if installed is not None:
                    self._snapshot_installed(installed)
        if hard_state is not None or ready.entries:
            self._storage.append(hard_state, ready.entries)
            return True
        return bool(ready.chunks)

    def _snapshot_installed(self, snapshot: SnapshotMetadata) -> None:
        """The state machine is where the leader's was at the snapshot's index; nobody was told what led there."""
        self.applied_index = snapshot.index
        self._log.emit(Event.SNAPSHOT_INSTALLED, self.raft.current_term, index=snapshot.index, bytes=snapshot.size)
        for place in [place for place in self._pending_entries if place[0] <= snapshot.index]:
            for pending in self._pending_entries.pop(place):
                self._queued_bytes -= pending.size
                why = f"entry {place[0]} was replaced by a snapshot before it was applied here"
                self._settle(pending, pb.OUTCOME_CODE_UNKNOWN, why)
        self._note_applied_term(snapshot.term)
        self._publish_state_hash(snapshot.index, self.state_hash)

    def _work_on_snapshot(self) -> None:
        """One step of a snapshot that is being taken, or is due."""
        taken = self._snapshots.step(self.raft, self.applied_index)
        if taken is not None:
            self.raft.snapshot_taken(taken)
            self._storage.compact(self.raft.log.base_index)
            self._log.emit(
                Event.SNAPSHOT_TAKEN,
                self.raft.current_term,
                index=taken.index,
                bytes=taken.size,
                first_log_index=self.raft.log.first_index,
            )
            self._publish_state_hash(taken.index, self._snapshots.captured_hash)

    def _publish_when_idle(self, now: float) -> None:
        """Where a burst of commands ends, all nodes come to rest: there they can be compared."""
        if self.applied_index != self._idle_index:
            self._idle_index, self._idle_since = self.applied_index, now
        elif self.applied_index > self._published_index and now - self._idle_since >= IDLE_SECONDS:
            self._publish_state_hash(self.applied_index, self.state_hash)

    def _publish_state_hash(self, index: int, state_hash: str) -> None:
        self._published_index = index
        self._log.emit(Event.STATE_HASH, self.raft.current_term, applied_index=index, hash=state_hash)

    def _handle_raft_event(self, raft_event: RaftEvent) -> None:
        log_raft_event(self._log, raft_event)
        self._watch_transfer(raft_event)
        self._watch_change(raft_event)
        if isinstance(raft_event, LeaderChanged):
            self.on_leader_changed(raft_event.leader)

    def _watch_transfer(self, raft_event: RaftEvent) -> None:
        if self._transfer_under_way is None:
            return
        target, _ = self._transfer_under_way
        match raft_event:
            case TransferEnded():
                self._end_transfer(TransferRefusedError(f"{target} did not take over within an election time-out"))
            case LeaderChanged(leader=str(leader)):
                refused = TransferRefusedError(f"{leader} became leader instead of {target}")
                self._end_transfer(None if leader == target else refused)
            case PreVoteStarted() | ElectionStarted():
                self._end_transfer(TransferRefusedError(f"{target} did not take over, and no leader is heard of"))
            case BecameFollower() if not self.raft.is_voter:
                why = f"{self.config.node_id} was removed from the voters, and does not hear who leads now"
                self._end_transfer(TransferRefusedError(why))

    def _watch_change(self, raft_event: RaftEvent) -> None:
        match raft_event:
            case ChangeCompleted(index=index):
                self._end_change(None, index)
            case ChangeFailed(why=why):
                self._end_change(ChangeRefusedError(why))
            case BecameFollower(leader=leader):
                self._end_change(NotLeaderError(leader))

    def _apply(self, entry: Entry) -> None:
        applied, session_id = self._apply_to_machine(entry)
        self._machine.state_hash.add(entry, session_id, applied)
        self.applied_index = entry.index
        if entry.index % STATE_HASH_INTERVAL == 0:
            self._publish_state_hash(entry.index, self.state_hash)
        self._snapshots.applied(len(entry.data))
        self._note_applied_term(entry.term)
        commands = self._pending_entries.pop((entry.index, entry.term), None)
        if commands is not None:
            self._settle_applied(commands, applied, session_id)
            self._commands.answered(len(applied), self.last_iteration_at)

    def _apply_to_machine(self, entry: Entry) -> tuple[list[Applied], int]:
        """What became of each of the entry's commands, and the session that it opens (0: none)."""
        match entry.kind:
            case EntryKind.COMMANDS:
                return self._machine.apply(pb.CommandEntry.FromString(entry.data), entry.index), 0
            case EntryKind.OPEN_SESSION:
                session_id = self._machine.open_session(pb.OpenSession.FromString(entry.data))
                return [Applied(b"", entry.index)], session_id
        return [], 0

    def _note_applied_term(self, term: int) -> None:
        if term > self._applied_term:
            self._applied_term = term
            self._refuse_lost_entries()

    def _refuse_lost_entries(self) -> None:
        """Terms never decrease along a log, so what is of an older term and not yet applied never will be."""
        lost = [place for place in self._pending_entries if place[1] < self._applied_term]
        for index, term in lost:
            why = f"entry {index} of term {term} was lost with the leadership of {self.config.node_id}"
            self._refuse_not_leader(self._pending_entries.pop((index, term)), why)

    def _answer_reads(self, number: int, index: int) -> None:
        if self.applied_index < index:
            raise InvariantError(f"read {number} must see index {index}, and only {self.applied_index} is applied")
        query = self._machine.query
        answers = [[query(body) for body in pending.bodies] for pending in self._pending_reads[number]]
        for pending, results in zip(self._pending_reads.pop(number), answers, strict=True):
            self._queued_bytes -= pending.size
            for outcome in outcomes.of_results(pending.first_id, results, self.applied_index):
                self._hand_over(pending.waiter, outcome)

    # --- outcomes ---------------------------------------------------------------------------------------------------

    def _settle_applied(self, commands: list[PendingRequests], applied: list[Applied], session_id: int) -> None:
        """Tell the waiters of an entry what became of its commands, and which session it opened (0: none)."""
        count = sum(map(len, commands))
        if count != len(applied):
            raise InvariantError(f"{count} commands were proposed, and the entry has {len(applied)} outcomes")
        stop = 0
        for pending in commands:
            start, stop = stop, stop + len(pending)
            self._queued_bytes -= pending.size
            for outcome in outcomes.of_applied(pending, applied[start:stop], session_id):
                self._hand_over(pending.waiter, outcome)

    def _settle(self, pending: PendingRequests, code: pb.OutcomeCode.ValueType, message: str) -> None:
        self._hand_over(
            pending.waiter,
            pb.Outcome(
                id=pending.first_id,
                count=len(pending),
                code=code,
                message=message,
                leader_id=self.raft.leader or "",
                leader_address=self.leader_address,
            ),
        )

    def _refuse_not_leader(self, refused: list[PendingRequests], why: str = "") -> None:
        message = why or f"{self.config.node_id} is not the leader of term {self.raft.current_term}"
        for pending in refused:
            self._queued_bytes -= pending.size
            self._settle(pending, pb.OUTCOME_CODE_NOT_LEADER, message)

    def _hand_over(self, waiter: Waiter, outcome: pb.Outcome) -> None:
        waiter.settle(outcome)
        self._dirty.add(waiter)

    def _flush_waiters(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for waiter in dirty:
            waiter.flush()

    def _release_waiters(self) -> None:
        """The node ends: nobody may wait for it any longer. What was proposed may still be committed by others."""
        why = f"{self.config.node_id} stopped: {self._stop_reason}"
        for _, future in self._transfers:
            _refuse(future, TransferRefusedError(why))
        self._end_transfer(TransferRefusedError(why))
        for _, change in self._changes:
            _refuse(change, ChangeRefusedError(why))
        self._end_change(NotLeaderError(None))
        for commands in self._pending_entries.values():
            for pending in commands:
                self._settle(pending, pb.OUTCOME_CODE_UNKNOWN, why)
        not_begun = [*self._commands.pending(), *self._openings, *self._queries, *self._queries_of_any_node]
        for pending in [*not_begun, *(query for queries in self._pending_reads.values() for query in queries)]:
            self._settle(pending, pb.OUTCOME_CODE_UNAVAILABLE, why)
        self._flush_waiters()

    # --- what it tells ----------------------------------------------------------------------------------------------

    def status(self) -> pb.StatusResponse:
        """This node as it sees itself now."""
        raft = self.raft
        return pb.StatusResponse(
            id=self.config.node_id,
            role=raft.role.value,
            term=raft.current_term,
            leader_id=raft.leader or "",
            leader_address=self.leader_address,
            commit_index=raft.commit_index,
            applied_index=self.applied_index,
            last_log_index=raft.log.last_index,
            voters=list(raft.voters),
            uptime_seconds=self._clock() - self.started_at,
            learners=[member.node_id for member in raft.configuration.learners],
            first_log_index=raft.log.first_index,
            snapshot_index=raft.snapshot.index if raft.snapshot else 0,
        )

    def members(self) -> pb.MembersResponse:
        """Who belongs to the cluster as this node knows it, and how far they are if it leads."""
        raft = self.raft
        configuration = raft.configuration
        return pb.MembersResponse(
            members=[self._member_status(m) for m in sorted(configuration.members, key=lambda m: m.node_id)],
            leader_id=raft.leader or "",
            joint=configuration.is_joint,
            committed=raft.configuration_index <= raft.commit_index,
            configuration_index=raft.configuration_index,
            last_log_index=raft.log.last_index,
        )

    def _member_status(self, member: Member) -> pb.MemberStatus:
        raft, configuration = self.raft, self.raft.configuration
        status = pb.MemberStatus(id=member.node_id, address=member.address, incarnation=member.incarnation)
        status.role = "voter" if member in configuration.voters else "outgoing"
        if configuration.is_learner(member.node_id):
            status.role = "learner"
        status.promoting = member.node_id in configuration.to_promote
        progress = raft.progress.get(member.node_id)
        if progress is not None:
            status.match_index = progress.match_index
            status.heard_seconds = self._clock() - progress.heard_at
            if progress.snapshot is not None:
                status.snapshot_bytes_sent = progress.snapshot_offset
                status.snapshot_bytes = progress.snapshot.size
        elif self.is_leader and member.node_id == raft.node_id:
            status.match_index = raft.log.last_index
        return status

    @property
    def state_hash(self) -> str:
        """What tells whether nodes with the same applied index have applied the same, and with the same outcome."""
        return str(self._machine.state_hash)

    @property
    def is_busy(self) -> bool:
        """Whether the next turn has something to do even if nothing comes: a snapshot is being taken."""
        return self._snapshots.can_step

    @property
    def is_leader(self) -> bool:
        """Whether this node believes to be the leader; a quorum may know better."""
        return self.raft.role is Role.LEADER


def _pending(
    waiter: Waiter, request: pb.Request, kind: RequestType | None, session_id: int, acknowledged: int
) -> PendingRequests:
    """A request as it waits here."""
    bodies = (
        list(request.commands or request.queries) if kind in ("commands", "queries") else [b""] * request_count(request)
    )
    pending = PendingRequests(waiter, request.id, bodies, size_of(bodies))
    if kind == "commands" and session_id:
        pending.session_id, pending.first_sequence, pending.acknowledged = session_id, request.sequence, acknowledged
    return pending


def _refuse(future: "asyncio.Future[Any]", error: Exception) -> None:
    """Tell who waits; it may have gone away meanwhile."""
    if not future.done():
        future.set_exception(error)
