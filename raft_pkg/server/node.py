"""The one loop that joins core, storage, transport and state machine.

One task owns the core. Everybody else puts work into the inbox and wakes the task; a turn takes all that has come,
so that commands of many clients share one log entry, one sync and one append per follower. Then `Output` is carried
out in its order: write, send what promises nothing, sync, send the rest, apply, answer.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from raft_pkg.core.messages import Message
from raft_pkg.core.output import (
    BecameFollower,
    BecameLeader,
    ElectionStarted,
    LeaderChanged,
    Notice,
    Output,
    PreVoteStarted,
    TransferEnded,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.core.raft import InvariantError, NotLeaderError, Raft, TransferRefusedError
from raft_pkg.core.types import Entry, EntryKind, Role
from raft_pkg.errors import StorageError
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.state_machine import StateMachine
from raft_pkg.storage.interface import Storage

QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Commands that were taken and not yet applied, in bytes; more are refused (BUSY)."""
ENTRY_BYTES_MAX = 1024 * 1024
"""A log entry takes no further command once its commands have reached this many bytes."""
COMMAND_OVERHEAD_BYTES = 64
"""What a command counts for besides its own bytes: empty ones take room too, in memory and in an entry."""
COMMAND_BYTES_MAX = 2 * 1024 * 1024
"""No single command or query may be larger; the state machine has narrower limits of its own."""
TURN_SECONDS_MAX = 1.0
"""The loop turns at least so often, in seconds, whatever the time-outs: turning is its sign of life."""
CATCH_UP_SECONDS = 0.01
"""How long messages may come in after a long time without a turn, before time-outs count."""


class Caller(Protocol):
    """Who waits for outcomes: a stream, or one unary call."""

    def settle(self, outcome: pb.Outcome) -> None:
        """Take one outcome; `flush` follows."""
        ...

    def flush(self) -> None:
        """All outcomes of this turn have been handed over: send them."""
        ...


class Transport(Protocol):
    """Takes messages to peers. Never waits; what can't be sent is lost, which Raft bears."""

    def send(self, messages: Sequence[Message]) -> None:
        """Queue the messages for their recipients, in order."""
        ...


@dataclass(slots=True)
class PendingCommand:
    """A command that a caller waits for."""

    caller: Caller
    request_id: int
    command: bytes

    @property
    def size(self) -> int:
        """Bytes that it counts for while it waits."""
        return len(self.command) + COMMAND_OVERHEAD_BYTES


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
    ) -> None:
        recovered = storage.recover()
        self.config = config
        self._storage = storage
        self._state_machine = state_machine
        self._transport = transport
        self._log = log
        self._clock = clock
        self.raft = Raft(
            config.node_id,
            config.peers,
            config=config.raft,
            random=random or Random(),
            now=clock(),
            hard_state=recovered.hard_state,
            entries=recovered.entries,
        )
        self.applied_index = 0
        self.started_at = clock()
        self.on_leader_changed: Callable[[str | None], None] = lambda _leader: None
        """Called with the leader whenever this node follows another one than before."""
        self.last_turn_at = clock()
        """When the loop last took a turn: its sign of life."""
        self._messages: list[Message] = []
        self._commands: list[PendingCommand] = []
        self._queries: list[PendingCommand] = []
        self._queued_bytes = 0
        self._pending_entries: dict[tuple[int, int], list[PendingCommand]] = {}
        """Index and term of each entry proposed here that was not yet seen to be committed or lost."""
        self._applied_term = 0
        self._pending_reads: dict[int, list[PendingCommand]] = {}
        self._transfers: list[tuple[str, asyncio.Future[None]]] = []
        self._transfer_under_way: tuple[str, asyncio.Future[None]] | None = None
        self._touched: set[Caller] = set()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._stop_reason: str | None = None
        log.emit(
            Event.LOG_RECOVERED,
            term=recovered.hard_state.current_term,
            last_log_index=self.raft.log.last_index,
            voted_for=recovered.hard_state.voted_for,
            torn_bytes=recovered.torn_bytes,
        )

    # --- what others call -------------------------------------------------------------------------------------------

    def deliver(self, messages: Sequence[Message]) -> None:
        """Messages of a peer have arrived."""
        self._messages += messages
        self._wake.set()

    def submit(self, caller: Caller, requests: Sequence[pb.Request]) -> None:
        """A client's commands and queries have arrived; each is settled once, in any order."""
        for request in requests:
            kind = request.WhichOneof("body")
            body = request.command if kind == "command" else request.query
            pending = PendingCommand(caller, request.id, body)
            if kind is None or len(body) > COMMAND_BYTES_MAX:
                why = "no command and no query" if kind is None else f"{len(body)} bytes, at most {COMMAND_BYTES_MAX}"
                self._settle(pending, pb.OUTCOME_CODE_INVALID, f"request {request.id}: {why}")
            elif self._stop_reason is not None:
                self._settle(pending, pb.OUTCOME_CODE_UNAVAILABLE, f"{self.config.node_id} is stopping")
            elif self._queued_bytes + pending.size > QUEUED_BYTES_MAX:
                self._settle(pending, pb.OUTCOME_CODE_BUSY, f"more than {QUEUED_BYTES_MAX} bytes of commands wait")
            else:
                self._queued_bytes += pending.size
                (self._commands if kind == "command" else self._queries).append(pending)
        self._flush_callers()
        self._wake.set()

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
        return self.config.peers[self.raft.leader] if self.raft.leader else ""

    async def run(self) -> str:
        """Turn until `stop`; returns its reason. Raises `StorageError` and `InvariantError`: the node must end."""
        try:
            while self._stop_reason is None:
                self.turn()
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
            self._release_callers()
            self._ended.set()
        return self._stop_reason

    # --- a turn -----------------------------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Until there is work or the core's next time-out; always lets other tasks run."""
        delay = self.raft.next_timeout() - self._clock()
        timer = asyncio.get_running_loop().call_later(min(max(delay, 0), TURN_SECONDS_MAX), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        if self._clock() - self.last_turn_at > 2 * self.config.heartbeat_interval:
            # A slow disk or a pause kept this node from hearing what others said; that is no silence of theirs.
            await asyncio.sleep(CATCH_UP_SECONDS)
        self._wake.clear()

    def turn(self) -> None:
        """Take in all that has come, then do all that the core asks for."""
        now = self.last_turn_at = self._clock()
        messages, self._messages = self._messages, []
        for message in messages:
            self.raft.receive(message, now)
        self.raft.tick(now)
        self._start_transfers(now)
        self._propose_commands()
        self._request_reads()
        while self._carry_out(self.raft.take_output()):
            pass
        self._flush_callers()

    def _start_transfers(self, now: float) -> None:
        transfers, self._transfers = self._transfers, []
        for target, future in transfers:
            try:
                self.raft.transfer_leadership(target, now)
            except (NotLeaderError, TransferRefusedError) as error:
                _refuse_transfer(future, error)
            else:
                self._end_transfer(TransferRefusedError(f"{target} was named after it"))
                self._transfer_under_way = target, future

    def _end_transfer(self, error: TransferRefusedError | None) -> None:
        if self._transfer_under_way is not None:
            _, future = self._transfer_under_way
            self._transfer_under_way = None
            if error is not None:
                _refuse_transfer(future, error)
            elif not future.done():
                future.set_result(None)

    def _propose_commands(self) -> None:
        if self.raft.transfer_target is not None:
            return  # they wait here until it is known who leads
        commands, self._commands = self._commands, []
        start = 0
        while start < len(commands):
            stop, size = start, 0
            while stop < len(commands) and size < ENTRY_BYTES_MAX:
                size += commands[stop].size
                stop += 1
            self._propose_entry(commands[start:stop])
            start = stop

    def _propose_entry(self, commands: list[PendingCommand]) -> None:
        batch = pb.CommandBatch(commands=[pending.command for pending in commands])
        try:
            entry = self.raft.propose(batch.SerializeToString())
        except NotLeaderError:
            self._refuse_not_leader(commands)
        else:
            self._pending_entries[entry.index, entry.term] = commands

    def _request_reads(self) -> None:
        """One read of the core serves all queries of this turn."""
        queries, self._queries = self._queries, []
        if not queries:
            return
        try:
            self._pending_reads[self.raft.read_index()] = queries
        except NotLeaderError:
            self._refuse_not_leader(queries)

    def _carry_out(self, output: Output) -> bool:
        """Do what `Output` asks for, in its order; True if the core may ask for more at once."""
        wrote = output.hard_state is not None or bool(output.entries)
        if wrote:
            self._storage.append(output.hard_state, output.entries)
        self._transport.send(output.early_messages)
        if wrote:
            self._storage.sync()
            if output.entries:
                self.raft.synced(output.entries[-1])
        self._transport.send(output.messages)
        for notice in output.notices:
            self._log_notice(notice)
            self._watch_transfer(notice)
        for entry in output.committed:
            self._apply(entry)
        for number, index in output.reads:
            self._answer_reads(number, index)
        for number in output.failed_reads:
            self._refuse_not_leader(self._pending_reads.pop(number))
        return wrote

    def _watch_transfer(self, notice: Notice) -> None:
        if self._transfer_under_way is None:
            return
        target, _ = self._transfer_under_way
        match notice:
            case TransferEnded():
                self._end_transfer(TransferRefusedError(f"{target} did not take over within an election time-out"))
            case LeaderChanged(leader=str(leader)):
                refused = TransferRefusedError(f"{leader} became leader instead of {target}")
                self._end_transfer(None if leader == target else refused)

    def _apply(self, entry: Entry) -> None:
        results: list[bytes] = []
        if entry.kind is EntryKind.COMMANDS:
            results = self._state_machine.apply(pb.CommandBatch.FromString(entry.data).commands)
        self.applied_index = entry.index
        if entry.term > self._applied_term:
            self._applied_term = entry.term
            self._refuse_lost_entries()
        commands = self._pending_entries.pop((entry.index, entry.term), None)
        if commands is not None:
            for command, result in zip(commands, results, strict=True):
                self._settle_ok(command, result, entry.index)

    def _refuse_lost_entries(self) -> None:
        """Terms never decrease along a log, so what is of an older term and not yet applied never will be."""
        lost = [place for place in self._pending_entries if place[1] < self._applied_term]
        for index, term in lost:
            why = f"entry {index} of term {term} was lost with the leadership of {self.config.node_id}"
            self._refuse_not_leader(self._pending_entries.pop((index, term)), why)

    def _answer_reads(self, number: int, index: int) -> None:
        if self.applied_index < index:
            raise InvariantError(f"read {number} must see index {index}, and only {self.applied_index} is applied")
        for pending in self._pending_reads.pop(number):
            self._settle_ok(pending, self._state_machine.query(pending.command), self.applied_index)

    # --- outcomes ---------------------------------------------------------------------------------------------------

    def _settle_ok(self, pending: PendingCommand, result: bytes, index: int) -> None:
        self._queued_bytes -= pending.size
        outcome = pb.Outcome(id=pending.request_id, code=pb.OUTCOME_CODE_OK, result=result, index=index)
        self._hand_over(pending.caller, outcome)

    def _settle(self, pending: PendingCommand, code: pb.OutcomeCode.ValueType, message: str) -> None:
        self._hand_over(
            pending.caller,
            pb.Outcome(
                id=pending.request_id,
                code=code,
                message=message,
                leader_id=self.raft.leader or "",
                leader_address=self.leader_address,
            ),
        )

    def _refuse_not_leader(self, refused: list[PendingCommand], why: str = "") -> None:
        message = why or f"{self.config.node_id} is not the leader of term {self.raft.current_term}"
        for pending in refused:
            self._queued_bytes -= pending.size
            self._settle(pending, pb.OUTCOME_CODE_NOT_LEADER, message)

    def _hand_over(self, caller: Caller, outcome: pb.Outcome) -> None:
        caller.settle(outcome)
        self._touched.add(caller)

    def _flush_callers(self) -> None:
        touched, self._touched = self._touched, set()
        for caller in touched:
            caller.flush()

    def _release_callers(self) -> None:
        """The node ends: nobody may wait for it any longer. What was proposed may still be committed by others."""
        why = f"{self.config.node_id} stopped: {self._stop_reason}"
        for _, future in self._transfers:
            _refuse_transfer(future, TransferRefusedError(why))
        self._end_transfer(TransferRefusedError(why))
        for commands in self._pending_entries.values():
            for pending in commands:
                self._settle(pending, pb.OUTCOME_CODE_UNKNOWN, why)
        for pending in [*self._commands, *self._queries, *(q for qs in self._pending_reads.values() for q in qs)]:
            self._settle(pending, pb.OUTCOME_CODE_UNAVAILABLE, why)
        self._flush_callers()

    # --- the log contract -------------------------------------------------------------------------------------------

    def _log_notice(self, notice: Notice) -> None:
        emit, term = self._log.emit, notice.term
        match notice:
            case PreVoteStarted():
                emit(Event.PRE_VOTE_STARTED, term, votes_needed=notice.votes_needed)
            case TransferStarted():
                emit(Event.TRANSFER_STARTED, term, target=notice.target)
            case TransferEnded():
                emit(Event.TRANSFER_ENDED, term, target=notice.target)
            case ElectionStarted():
                emit(Event.ELECTION_STARTED, term, votes_needed=notice.votes_needed)
            case VoteGranted():
                emit(Event.VOTE_GRANTED, term, candidate=notice.candidate)
            case BecameLeader():
                emit(Event.BECAME_LEADER, term, last_log_index=notice.last_log_index, votes=list(notice.votes))
            case BecameFollower():
                emit(Event.BECAME_FOLLOWER, term, leader=notice.leader, reason=notice.reason)
            case LeaderChanged():
                emit(Event.LEADER_CHANGED, term, leader=notice.leader)
                self.on_leader_changed(notice.leader)

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
        )

    @property
    def is_leader(self) -> bool:
        """Whether this node believes to be the leader; a quorum may know better."""
        return self.raft.role is Role.LEADER


def _refuse_transfer(future: asyncio.Future[None], error: NotLeaderError | TransferRefusedError) -> None:
    """Tell who waits; it may have gone away meanwhile."""
    if not future.done():
        future.set_exception(error)
