"""Simulated clients: they find the leader, retry what may be retried, and report other outcomes as unknown.

They follow the rules of the client library (`client.dispatcher`), and use its sequence numbers (`client.session`), in
virtual time. Clients without a session never retry a command that may have been applied.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from random import Random

from raft_pkg.client.session import ClientSession
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import outcome_count, single_result
from raft_testbed.history import MISMATCH, Operation, Value
from raft_testbed.simulation.context import SimulationContext
from raft_testbed.simulation.machine import Machine, PendingRequest
from raft_testbed.simulation.scheduler import Scheduler

BATCH_WAIT_SHARE = 0.25
"""Longest time that a command waits for others of its batch, as a share of `response_timeout`."""
BACK_OFF_SECONDS_MAX = 0.05
"""Longest time before an operation that did not take effect is retried."""
STRAY_SHARE = 0.15
"""Share of the attempts that go to any node, so that nodes that wrongly believe to lead get requests too."""
PAUSE_SECONDS = (0.3, 2.0)
"""Length of a client's pause, in which its session may expire."""
_REJECTED = {pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE, pb.OUTCOME_CODE_BUSY}
LONG_BYTES_MIN, LONG_BYTES_MAX = 500, 3000
"""Size of a long command, which takes several sectors of a disk."""
_FUNCTIONS = ("read", "write", "append", "cas", "delete")
_WEIGHTS = (6, 3, 4, 3, 1)


class Call:
    """A request of a client, over all its attempts.

    `acknowledged_before` is the highest index that any client knew when the call began. `ended` is called once, with
    the type of the completion (`ok`, `fail` or `info`) and the node's outcome if there is one.
    """

    def __init__(self, request: pb.Request, acknowledged_before: int, ended: Callable[[str, pb.Outcome | None], None]):
        self.request = request
        self.acknowledged_before = acknowledged_before
        self.ended = ended
        self.attempt: Attempt | None = None
        """The attempt that may still get a response."""
        self.indeterminate = False
        """Whether an earlier attempt got no response."""
        self.is_repeated = False
        """Whether the network repeats an attempt later."""
        self.session: ClientSession | None = None
        self.is_over = False

    @property
    def is_command(self) -> bool:
        """Whether the request is a command, not a query."""
        return bool(self.request.commands)

    def end(self, completion: str, outcome: pb.Outcome | None = None) -> None:
        """End the call."""
        self.is_over = True
        if self.attempt is not None:
            self.attempt.machine.forget(self.attempt)
            self.attempt = None
        if self.session is not None:
            self.session.complete(self.request.sequence)
        self.ended(completion, outcome)


class Attempt(PendingRequest):
    """One attempt of a call at one node.

    The client waits for no command of the session with a sequence number below `acknowledged`.
    """

    def __init__(self, client: "SimulatedClient", call: Call, machine: Machine, acknowledged: int) -> None:
        self.call = call
        self.machine = machine
        self.request = pb.Request()
        self.request.CopyFrom(call.request)
        self.session_id = call.session.id if call.session else 0
        self.acknowledged = acknowledged
        self.process = 0
        """The node's process that received the attempt."""
        self.round_before = 0
        """The node's newest heartbeat round when the attempt arrived."""
        self._client = client

    def complete(self, outcome: pb.Outcome) -> None:
        """Send the outcome to the client."""
        self._client.attempt_completed(self, outcome)

    def node_ended(self) -> None:
        """Report to the client that the connection broke."""
        self._client.connection_broken(self)


class BatchRequest(PendingRequest):
    """Commands of one session with consecutive sequence numbers, sent to one node as one request."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = dict(enumerate(attempts, start=1))
        """The attempts without an outcome, by request id."""
        self._machine = attempts[0].machine
        commands = [attempt.request.commands[0] for attempt in attempts]
        self._request = pb.Request(id=1, commands=commands, sequence=attempts[0].request.sequence)
        self._session_id = attempts[0].session_id
        self._acknowledged = max(attempt.acknowledged for attempt in attempts)

    def submit(self) -> bool:
        """Give the request to the node. Return False if no node is running."""
        return self._machine.submit(self, self._request, self._session_id, self._acknowledged)

    def complete(self, outcome: pb.Outcome) -> None:
        """Give each of the completed attempts its own outcome."""
        for offset in range(outcome_count(outcome)):
            own = pb.Outcome()
            own.CopyFrom(outcome)
            own.id, own.count = 1, 1
            own.results[:] = outcome.results[offset : offset + 1]
            attempt = self._attempts.pop(outcome.id + offset)
            if not self._attempts:
                self._machine.forget(self)
            attempt.complete(own)

    def node_ended(self) -> None:
        """Report to the client that the connection broke."""
        for attempt in self._attempts.values():
            attempt.node_ended()


class SimulatedClient:
    """One client, with or without a session. Its workers run concurrent operations."""

    def __init__(
        self,
        name: str,
        machines: Mapping[str, Machine],
        processes: "count[int]",
        history: "History",
        context: SimulationContext,
    ) -> None:
        self.name = name
        self.rng = Random(f"{context.seed} {name}")
        self.context = context
        self._machines = machines
        self._parameters = context.parameters
        self._scheduler = context.scheduler
        self._network = context.network
        self._checks = context.checker.clients
        self._target: str | None = None
        self._has_session = self.rng.random() < context.parameters.sessions
        self._session: ClientSession | None = None
        self._opening: Call | None = None
        self._without_session: list[Call] = []
        """Commands that wait for a session."""
        self._batches: dict[str, list[Attempt]] = {}
        """Commands that wait for others of their batch, by the machine that they go to."""
        workers = self.rng.randint(1, context.parameters.pipelined)
        self.workers = [Worker(f"{name}.{number}", self, processes, history) for number in range(workers)]

    def submit(self, call: Call) -> None:
        """Begin a call."""
        if call.is_command:
            self._checks.command_sent_once(call.request.commands[0])
        self._scheduler.after(self._parameters.operation_timeout, partial(self._timed_out, call))
        self._try(call)

    def _timed_out(self, call: Call) -> None:
        if call.is_over:
            return
        self._target = None
        may_take_effect = call.is_command and (call.indeterminate or call.is_repeated or call.attempt is not None)
        call.end("info" if may_take_effect else "fail")

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _assign_sequence(self, call: Call) -> bool:
        """Give a command its sequence number, if it needs one. Return False if it must wait for a session."""
        if call.session is not None or not call.is_command or not self._has_session:
            return True
        sequence = self._session.next_sequence() if self._session else 0
        if not sequence:
            self._without_session.append(call)
            self._open_session()
            return False
        call.session, call.request.sequence = self._session, sequence
        return True

    def _open_session(self) -> None:
        if self._opening is None:
            self._session = None
            self._opening = Call(pb.Request(id=1, open_session=True), 0, self._session_opened)
            self._try(self._opening)

    def _session_opened(self, _completion: str, outcome: pb.Outcome | None) -> None:
        self._opening = None
        assert outcome is not None
        self._session = ClientSession(outcome.session_id, lambda: self._scheduler.now)
        waiting, self._without_session = self._without_session, []
        for call in waiting:
            self._try(call)

    def _session_expired(self, call: Call) -> None:
        """Retry in another session, unless an earlier attempt may have been applied."""
        self.context.trace.record_rare(self.name, "session_expired")
        if call.session is self._session:
            self._session = None
        if call.indeterminate:
            call.end("info")
            return
        assert call.session is not None
        call.session.complete(call.request.sequence)
        call.session = None
        self._checks.command_renewed(call.request.commands[0])
        self._retry_later(call)

    # --- attempts -----------------------------------------------------------------------------------------------------

    def _try(self, call: Call) -> None:
        """Send a call to the presumed leader, or to any node."""
        if call.is_over or call.attempt is not None or not self._assign_sequence(call):
            return
        target = self._target
        if target is None or call.request.any_node or self.rng.random() < STRAY_SHARE:
            target = self.rng.choice(list(self._machines))
        acknowledged = call.session.mark_sent() if call.session else 0
        attempt = call.attempt = Attempt(self, call, self._machines[target], acknowledged)
        self._network.carry(self.name, target, self._scheduler.now, partial(self._arrive, attempt))
        if call.session is not None:
            repeated = Attempt(self, call, self._machines[target], acknowledged)
            call.is_repeated |= self._network.repeat_late(self.name, target, partial(self._arrive, repeated))
        if self._has_session:
            self._scheduler.after(self._parameters.response_timeout, partial(self._response_timed_out, attempt))

    def _retry_later(self, call: Call) -> None:
        call.attempt = None
        self._scheduler.after(self.rng.uniform(0.001, BACK_OFF_SECONDS_MAX), partial(self._try, call))

    def _arrive(self, attempt: Attempt) -> None:
        """Give an attempt to its node, even if the client no longer waits for it."""
        machine = attempt.machine
        if attempt.session_id and self.rng.random() < self._parameters.batched:
            batch = self._batches.setdefault(machine.id, [])
            batch.append(attempt)
            if len(batch) == 1:
                delay = self.rng.uniform(0, BATCH_WAIT_SHARE * self._parameters.response_timeout)
                self._scheduler.after(delay, partial(self._submit_batches, machine.id))
            return
        attempt.process = machine.process
        if machine.node is not None:
            attempt.round_before = machine.behaviour.read_arrived()
        if not machine.submit(attempt, attempt.request, attempt.session_id, attempt.acknowledged):
            self._respond(attempt, partial(self._rejected, attempt.call, ""))

    def _submit_batches(self, machine_id: str) -> None:
        for attempts in _batches(self._batches.pop(machine_id)):
            for attempt in attempts:
                attempt.process = attempt.machine.process
            if not BatchRequest(attempts).submit():
                for attempt in attempts:
                    self._respond(attempt, partial(self._rejected, attempt.call, ""))

    def _response_timed_out(self, attempt: Attempt) -> None:
        """Give up an attempt that has timed out."""
        if attempt is attempt.call.attempt:
            attempt.machine.forget(attempt)
            self._lost(attempt.call)

    def attempt_completed(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        """Check an outcome at the node, where it is always known, and send it to the client, which may not get it."""
        machine, call, request = attempt.machine, attempt.call, attempt.request
        machine.forget(attempt)
        if outcome.code == pb.OUTCOME_CODE_OK:
            if request.commands:
                machine.write_acknowledged(request.commands[0], outcome.index)
            elif request.queries:
                if not request.any_node:  # those of a follower are confirmed by its leader
                    machine.read_served(attempt.round_before)
                self._checks.check_read(machine.id, outcome.index, call.acknowledged_before)
            self._respond(attempt, partial(self._succeeded, attempt, outcome))
        elif outcome.code in _REJECTED:
            self._respond(attempt, partial(self._rejected, call, outcome.leader_id))
        elif outcome.code == pb.OUTCOME_CODE_SESSION_EXPIRED:
            if call.session is not None and call.session.id == attempt.session_id:  # else it is in another one by now
                self._checks.session_expired(request.commands[0])
            self._respond(attempt, partial(self._session_expired, call))
        else:
            self._respond(attempt, partial(self._lost, call))

    def connection_broken(self, attempt: Attempt) -> None:
        """Report to the client that the node ended without an outcome."""
        self._respond(attempt, partial(self._lost, attempt.call))

    def _respond(self, attempt: Attempt, action: Callable[[], None]) -> None:
        """Run `action` at the client when the response arrives, unless the node ended before it sent the response."""
        machine, process, departure = attempt.machine, attempt.process, attempt.machine.now

        def arrive() -> None:
            if attempt is not attempt.call.attempt:
                return
            if machine.was_running(process, departure):
                action()
            else:
                self._lost(attempt.call)

        self._network.carry(machine.id, self.name, departure, arrive)

    def _succeeded(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        if not attempt.request.any_node:
            self._target = attempt.machine.id
        self._checks.outcome_received(outcome.index)
        attempt.call.end("ok", outcome)

    def _rejected(self, call: Call, leader: str) -> None:
        """Retry an attempt that did not take effect, at the leader that the node named."""
        self._target = leader if leader in self._machines else None
        self._retry_later(call)

    def _lost(self, call: Call) -> None:
        """Retry an attempt without a response: a command only in a session, with the same sequence number."""
        self._target = None
        if call.is_command and call.session is None:
            call.end("info")
        else:
            call.indeterminate = True
            self._retry_later(call)
            if call.is_command:
                self.context.trace.record_rare(self.name, "sent_again", f"sequence number {call.request.sequence}")


def _batches(attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    """Group attempts of one session with consecutive sequence numbers."""
    batch: list[Attempt] = []
    for attempt in sorted(attempts, key=lambda attempt: (attempt.session_id, attempt.request.sequence)):
        if batch and (attempt.session_id, attempt.request.sequence) != (
            batch[-1].session_id,
            batch[-1].request.sequence + 1,
        ):
            yield batch
            batch = []
        batch.append(attempt)
    yield batch


class Worker:
    """Runs one operation after another through its client; takes a new process number after an unknown outcome."""

    def __init__(self, name: str, client: SimulatedClient, processes: "count[int]", history: "History") -> None:
        self.name = name
        self.working = True
        """Whether it begins another operation after the current one."""
        self.operation: Operation | None = None
        self.succeeded = 0
        """Number of operations whose success it knows."""
        self._client = client
        self._rng = client.rng
        self._parameters = client.context.parameters
        self._scheduler = client.context.scheduler
        self._checks = client.context.checker.clients
        self._trace = client.context.trace
        self._processes = processes
        self._process = next(processes)
        self._history = history
        self._written = 0
        self._known_values: dict[str, str | None] = {}
        """The last value of each key that it has read or written, which `cas` expects."""
        self._may_pause = True

    def think(self) -> None:
        """Begin another operation after a random time."""
        if self.working:
            delay = self._rng.expovariate(1 / self._parameters.think_seconds)
            if self._may_pause and self._rng.random() < self._parameters.pause_probability:
                delay += self._rng.uniform(*PAUSE_SECONDS)
            self._scheduler.after(delay, self._begin_random)

    def hurry(self) -> None:
        """Begin an operation now, and pause no more."""
        self._may_pause = False
        self._begin_random()

    def _begin_random(self) -> None:
        if self.working and self.operation is None:
            f = self._rng.choices(_FUNCTIONS, _WEIGHTS)[0]
            self.begin(f, f"key-{self._rng.randrange(self._parameters.keys)}")

    def begin(self, f: str, key: str) -> None:
        """Begin one operation of the function `f`, in the terms of the history format."""
        value, request = self._choose(f, key)
        operation = self.operation = self._history.invoke(self._process, f, key, value)
        self._trace.record(self.name, "invoked", str(operation))
        self._client.submit(Call(request, self._checks.acknowledged_index, self._ended))

    def _choose(self, f: str, key: str) -> tuple[Value, pb.Request]:
        """Return an argument, and the request that carries it. Each value is unique, so that reads identify writes."""
        if f == "read":
            query = kv.KvQuery(get=kv.GetRequest(key=key))
            any_node = self._rng.random() < self._parameters.any_node_reads
            return None, pb.Request(id=1, queries=[query.SerializeToString()], any_node=any_node)
        self._written += 1
        new = f"{self.name}.{self._written};"
        value: Value = new
        if f == "write":
            command = kv.KvCommand(put=kv.PutRequest(key=key, value=new.encode()))
        elif f == "append":
            command = kv.KvCommand(append=kv.AppendRequest(key=key, value=new.encode()))
        elif f == "delete":
            value, command = None, kv.KvCommand(delete=kv.DeleteRequest(key=key))
        else:
            old = self._known_values.get(key)
            expected = None if old is None else old.encode()
            value = [old, new]
            body = kv.CompareAndSetRequest(key=key, expected=expected, value=new.encode())
            command = kv.KvCommand(compare_and_set=body)
        return value, pb.Request(id=1, commands=[command.SerializeToString() + self._unique_field()])

    def _unique_field(self) -> bytes:
        """Return a field that makes a command unique, and perhaps long; the store ignores it as unknown."""
        mark = f"{self.name}.{self._written}".encode()
        if self._rng.random() < self._parameters.long_commands:
            mark = mark.ljust(self._rng.randint(LONG_BYTES_MIN, LONG_BYTES_MAX), b".")
        size = bytes([len(mark) & 0x7F | 0x80, len(mark) >> 7])
        return b"\xfa\x3f" + size + mark  # field 1023, length-delimited

    def _ended(self, completion: str, outcome: pb.Outcome | None) -> None:
        operation, self.operation = self.operation, None
        assert operation is not None
        output = error = None
        if outcome is not None:
            completion, output, error = self._learn(operation, kv.KvResult.FromString(single_result(outcome)))
        elif completion == "fail":
            error = "timeout"
        self._history.complete(operation, completion, output, error)
        self._trace.record(self.name, "completed", str(operation))
        if completion == "info":
            self._process = next(self._processes)
        self.succeeded += completion == "ok" or error == MISMATCH
        self.think()

    def _learn(self, operation: Operation, result: kv.KvResult) -> tuple[str, str | None, str | None]:
        """Return the completion, output and error that a result means."""
        found = result.value.decode() if result.HasField("value") else None
        if operation.f == "cas" and not result.found:
            self._known_values[operation.key] = found
            return "fail", None, MISMATCH
        if operation.f in ("read", "write"):
            self._known_values[operation.key] = found if operation.f == "read" else str(operation.value)
        elif operation.f == "cas" and isinstance(operation.value, list):
            self._known_values[operation.key] = operation.value[1]
        return "ok", found if operation.f == "read" else None, None


class History:
    """The operations of a run in the order of their invocations."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.operations: list[Operation] = []
        self._scheduler = scheduler
        self._position = 0

    def invoke(self, process: int, f: str, key: str, value: Value) -> Operation:
        """Add the invocation of an operation."""
        self._position += 1
        operation = Operation(process, f, key, value, self._position, invoked_at=self._nanoseconds())
        self.operations.append(operation)
        return operation

    def complete(self, operation: Operation, completion: str, output: str | None, error: str | None) -> None:
        """Add the completion of an operation; one of type `info` never completes."""
        self._position += 1
        operation.outcome, operation.output, operation.error = completion, output, error
        operation.completed = None if completion == "info" else self._position
        operation.completed_at = self._nanoseconds()

    def _nanoseconds(self) -> int:
        return int(self._scheduler.now * 1e9)
