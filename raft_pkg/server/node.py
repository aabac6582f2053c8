"""The event loop of a node: it joins core, storage, transport and state machine.

One task owns the core. All other tasks queue work and wake it up. An iteration takes all queued work at once, so that
commands of many clients share one log entry, one sync and one AppendEntries per follower. It then carries out each
`Ready` in order: send the early messages, write, sync, send the other messages, apply, answer.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from raft_pkg.core.configuration import Configuration
from raft_pkg.core.errors import ChangeRefusedError, InvariantError, TransferRefusedError
from raft_pkg.core.membership import Change
from raft_pkg.core.messages import Message
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import LeaderChanged, RaftEvent, Ready
from raft_pkg.core.types import Entry, Role, SnapshotMetadata
from raft_pkg.errors import StorageError
from raft_pkg.events import Event, EventLog
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.rpc.requests import RequestType, request_type, validate
from raft_pkg.server.administration import Administration
from raft_pkg.server.applier import Applier
from raft_pkg.server.config import ServerConfig
from raft_pkg.server.in_flight import InFlightRequests, validate_size
from raft_pkg.server.pending import PendingRequests
from raft_pkg.server.proposals import Proposals
from raft_pkg.server.raft_events import log_raft_event, names_of
from raft_pkg.server.reads import Reads
from raft_pkg.server.sessions import SessionedMachine
from raft_pkg.server.snapshots import Executor, Snapshots, inline
from raft_pkg.server.state_machine import StateMachine
from raft_pkg.server.status import members_response, status_response
from raft_pkg.storage.interface import Storage

ITERATION_SECONDS_MAX = 1.0
"""Longest time between two iterations, in seconds. The liveness probe watches iterations, so one also runs at least
once per heartbeat interval."""
CATCH_UP_SECONDS = 0.01
"""Time for queued messages to arrive after a long pause, in seconds, before election time-outs are checked."""


class Transport(Protocol):
    """Sends messages to peers. It never waits: a message that can't be sent is dropped, which Raft tolerates."""

    def update_peers(self, addresses: Mapping[str, str]) -> None:
        """Replace the set of peers: node id to HOST:PORT."""
        ...

    def add_remote(self, node_id: str, address: str) -> None:
        """Note that a node has sent a message. Replies go to `address` if the node is no peer."""
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Queue the messages for their recipients, in order; drop those to nodes without a known address."""
        ...


class Node:
    """One running node. Call `submit` and `deliver` from the event loop that executes `run`."""

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
        """Recover the state from the storage. Raise `StorageError`.

        `clock` returns seconds of a monotonic clock; `wall_clock` returns seconds since 1970 and becomes log time.
        The loop does not wait for what it gives to `executor`.
        """
        recovered = storage.recover()
        self.config = config
        self._storage = storage
        self._transport = transport
        self._log = log
        self._clock = clock
        machine = SessionedMachine(state_machine)
        self._snapshots = Snapshots(config, storage, machine, executor, self._wake_from_executor)
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
        self.started_at = clock()
        self.on_leader_changed: Callable[[str | None], None] = lambda _leader: None
        """Called with the new leader's id, or None, whenever this node follows another leader than before."""
        self.last_iteration_at = clock()
        """Start of the newest iteration, in seconds of the monotonic clock."""
        self._messages: list[Message] = []
        self._unreachable_peers: list[str] = []
        self._in_flight = InFlightRequests(self.raft)
        self._applier = Applier(self.raft, machine, log)
        self._proposals = Proposals(
            self.raft, self._applier, self._in_flight, session_ttl=config.session_ttl, wall_clock=wall_clock
        )
        self._reads = Reads(self.raft, self._applier, self._in_flight)
        self._administration = Administration(self.raft)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that executes `run`."""
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

    # --- requests ---------------------------------------------------------------------------------------------------

    def deliver(self, messages: Sequence[Message], address: str = "") -> None:
        """Queue messages from one node, whose HOST:PORT is `address` (empty: unknown)."""
        if messages and address:
            self._transport.add_remote(messages[0].sender, address)
        self._messages += messages
        self._wake.set()

    def peer_unreachable(self, peer: str) -> None:
        """Report that a peer refuses connections: its process has ended."""
        self._unreachable_peers.append(peer)
        self._wake.set()

    def submit(
        self, waiter: Waiter, requests: Sequence[pb.Request], *, session_id: int = 0, acknowledged: int = 0
    ) -> None:
        """Queue a client's requests. Each is completed once, in any order.

        `session_id` and `acknowledged` are those of the `RequestBatch`.
        """
        now = self._clock()
        is_due = self._proposals.wait_until(now) is None
        for request in requests:
            type_ = request_type(request)
            whole = PendingRequests.of(waiter, request, type_, session_id, acknowledged)
            error = validate(request, session_id)
            if error:
                self._in_flight.reject(whole, pb.OUTCOME_CODE_INVALID, f"request {request.id}: {error}")
                continue
            for pending in whole.split():
                rejection = self._admit(pending)
                if rejection is not None:
                    self._in_flight.reject(pending, *rejection)
                    continue
                self._enqueue(pending, request, type_, now)
                is_due = is_due or type_ != "commands"
        self._in_flight.flush()
        if is_due or self._proposals.wait_until(now) is None:  # else the loop wakes up when the batch is due
            self._wake.set()

    def _admit(self, pending: PendingRequests) -> tuple[pb.OutcomeCode.ValueType, str] | None:
        """Count the requests as in flight, or return the outcome code and message of their rejection."""
        error = validate_size(pending)
        if error:
            return pb.OUTCOME_CODE_INVALID, error
        if self._stop_reason is not None:
            return pb.OUTCOME_CODE_UNAVAILABLE, f"{self.config.node_id} is stopping"
        return self._in_flight.admit(pending)

    def _enqueue(self, pending: PendingRequests, request: pb.Request, type_: RequestType | None, now: float) -> None:
        if type_ == "commands":
            self._proposals.add_commands(pending, now)
        elif type_ == "queries":
            self._reads.add(pending, any_node=request.any_node)
        else:
            self._proposals.add_opening(pending)

    def transfer_leadership(self, target: str) -> "asyncio.Future[None]":
        """Transfer leadership to `target` (dissertation §3.10); the future is done when it leads.

        The future raises `NotLeaderError`, or `TransferRefusedError` with the reason.
        """
        if self._stop_reason is not None:
            return _failed(TransferRefusedError(f"{self.config.node_id} is stopping"))
        self._wake.set()
        return self._administration.transfer_leadership(target)

    def change_members(self, change: Change) -> "asyncio.Future[int]":
        """Make one membership change (§6); the future returns the configuration's index once that is committed.

        The future raises `NotLeaderError`, or `ChangeRefusedError` with the reason. `NotLeaderError` may also mean
        that leadership was lost meanwhile; whether the change will be committed is then unknown.
        """
        if self._stop_reason is not None:
            return _failed(ChangeRefusedError(f"{self.config.node_id} is stopping"))
        self._wake.set()
        return self._administration.change_members(change)

    def stop(self, reason: str) -> None:
        """Ask `run` to end."""
        self._stop_reason = self._stop_reason or reason
        self._wake.set()

    async def while_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it ends or this node stops; propagate its exception."""
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            ended.cancel()
            task.cancel()

    # --- status -----------------------------------------------------------------------------------------------------

    @property
    def applied_index(self) -> int:
        """Index of the newest entry that was applied to the state machine."""
        return self._applier.index

    @property
    def state_hash(self) -> str:
        """Hexadecimal digest of all applied entries and their results; equal on nodes with equal applied indexes."""
        return self._applier.state_hash

    @property
    def has_work(self) -> bool:
        """Whether the next iteration has work even if nothing arrives: the next step of taking a snapshot."""
        return self._snapshots.can_step

    @property
    def is_leader(self) -> bool:
        """Whether this node considers itself the leader; a newer leader may exist."""
        return self.raft.role is Role.LEADER

    def status(self) -> pb.StatusResponse:
        """Return this node's view of itself and of the cluster."""
        return status_response(
            self.raft,
            applied_index=self.applied_index,
            leader_address=self._in_flight.leader_address,
            uptime_seconds=self._clock() - self.started_at,
        )

    def members(self) -> pb.MembersResponse:
        """Return the members of the effective configuration; on the leader with their replication progress."""
        return members_response(self.raft, self._clock())

    # --- event loop -------------------------------------------------------------------------------------------------

    async def run(self) -> str:
        """Iterate until `stop`; return its reason.

        Raise `StorageError` and `InvariantError`; the process must end then.
        """
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
            self._snapshots.wait_for_write()
            self._fail_all(f"{self.config.node_id} stopped: {self._stop_reason}")
            self._ended.set()
        return self._stop_reason

    def _wake_from_executor(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _sleep(self) -> None:
        """Sleep until there is work or a time-out; always let other tasks run."""
        if self.has_work:
            await asyncio.sleep(0)
        else:
            await self._wait_for_work()
        if self._clock() - self.last_iteration_at > 2 * self.config.heartbeat_interval:
            # A slow disk or a pause delayed this node. Take the queued messages before judging any peer unresponsive.
            await asyncio.sleep(CATCH_UP_SECONDS)
        self._wake.clear()

    async def _wait_for_work(self) -> None:
        delay = max(self.next_timeout() - self._clock(), 0)
        delay = min(delay, ITERATION_SECONDS_MAX, self.config.heartbeat_interval)
        # The event loop's timers have millisecond resolution. Round up, or an iteration would run in vain.
        timer = asyncio.get_running_loop().call_later(math.ceil(delay * 1000) / 1000, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def next_timeout(self) -> float:
        """Return the time at which an iteration has work even if nothing arrives."""
        timeout = self.raft.next_timeout()
        if self._administration.is_transferring:
            return timeout
        if self._proposals.has_openings or self._reads.has_queries:  # they waited for a transfer, which has ended
            return self.last_iteration_at
        if not self._proposals.has_commands:
            return timeout
        return min(timeout, self._proposals.wait_until(self.last_iteration_at) or self.last_iteration_at)

    def run_iteration(self) -> None:
        """Process everything that has arrived, then carry out what the core requests."""
        for _ in self.iterate():
            pass

    def iterate(self) -> Iterator[None]:
        """Run one iteration; yield where messages can leave before a long operation of disk or state machine."""
        now = self.last_iteration_at = self._clock()
        messages, self._messages = self._messages, []
        for message in messages:
            self.raft.receive(message, now)
        unreachable, self._unreachable_peers = self._unreachable_peers, []
        for peer in unreachable:
            self.raft.peer_unreachable(peer, now)
        self.raft.tick(now)
        if self._administration.has_requests:
            yield from self._carry_out_all()  # events up to here do not concern the queued requests
            self._administration.start_requests(now)
        if not self._administration.is_transferring:
            self._proposals.propose(now)
        if self.is_leader or not self._administration.is_transferring:
            self._reads.request()
        yield from self._carry_out_all()
        self._step_snapshot()
        self._applier.publish_when_idle(now)
        self._in_flight.flush()

    def _carry_out_all(self) -> Iterator[None]:
        while (yield from self._carry_out(self.raft.take_ready())):
            pass

    def _carry_out(self, ready: Ready) -> Generator[None, None, bool]:
        """Carry out a `Ready` in order; return whether the core may have more work at once."""
        if ready.addresses is not None:
            self._transport.update_peers(ready.addresses)
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

    def _write(self, ready: Ready) -> bool:
        """Write term and vote, snapshot chunks and entries; return whether anything was written."""
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

    def _apply_and_answer(self, ready: Ready) -> None:
        for raft_event in ready.raft_events:
            self._handle_raft_event(raft_event)
        for entry in ready.committed:
            self._apply(entry)
        for request_id, index in ready.reads:
            self._reads.complete(request_id, index)
        for request_id in ready.failed_reads:
            self._reads.fail(request_id)

    def _handle_raft_event(self, raft_event: RaftEvent) -> None:
        log_raft_event(self._log, raft_event)
        self._administration.handle_raft_event(raft_event)
        if isinstance(raft_event, LeaderChanged):
            self.on_leader_changed(raft_event.leader)

    def _apply(self, entry: Entry) -> None:
        applied, session_id = self._applier.apply(entry)
        self._snapshots.applied(len(entry.data))
        self._proposals.entry_applied(entry, applied, session_id, self.last_iteration_at)

    def _snapshot_installed(self, snapshot: SnapshotMetadata) -> None:
        self._applier.snapshot_installed(snapshot)
        self._proposals.snapshot_installed(snapshot)
        self._applier.publish_state_hash(snapshot.index, self.state_hash)

    def _step_snapshot(self) -> None:
        """Run one step of taking a snapshot, if one is due or in progress."""
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
            self._applier.publish_state_hash(taken.index, self._snapshots.captured_hash)

    def _fail_all(self, reason: str) -> None:
        """Complete every request: the node stops. Other nodes may still commit what was proposed here."""
        self._administration.stop(reason)
        for pending in self._proposals.pending_entries():
            self._in_flight.reject(pending, pb.OUTCOME_CODE_UNKNOWN, reason)
        for pending in [*self._proposals.queued(), *self._reads.pending()]:
            self._in_flight.reject(pending, pb.OUTCOME_CODE_UNAVAILABLE, reason)
        self._in_flight.flush()


def _failed(error: Exception) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
