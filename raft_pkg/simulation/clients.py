"""Simulated clients: they find the leader, retry what surely did not happen, and call unknown what may have.

The same rules as the client library's (`client.dispatcher`), one operation at a time, in virtual time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from random import Random

from raft_pkg.check.history import MISMATCH, Operation, Value
from raft_pkg.client.session import Session
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.simulation.host import Connection, Host
from raft_pkg.simulation.scheduler import Scheduler
from raft_pkg.simulation.setting import Setting

BACK_OFF_SECONDS_MAX = 0.05
"""Greatest time before an operation that surely did not happen is tried again."""
STRAY_CHANCE = 0.15
"""Share of calls that go anywhere, whoever is said to lead: nodes that think they lead must be asked too."""
_NOT_DONE = {pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE, pb.OUTCOME_CODE_BUSY}
_FUNCTIONS = ("read", "write", "append", "cas", "delete")
_WEIGHTS = (6, 3, 4, 3, 1)


class Attempt(Connection):
    """One call of one operation to one node."""

    def __init__(
        self,
        client: "SimulatedClient",
        host: Host,
        request: pb.Request,
        acknowledged_before: int,
        session: tuple[int, int] = (0, 0),
    ) -> None:
        self.host = host
        self.request = request
        self.session = session
        """Its id, and the number below which the client waits for nothing."""
        self.acknowledged_before = acknowledged_before
        """What some client knew to be done when the operation began."""
        self.life = 0
        """Of the node that got it."""
        self.round_before = 0
        """The newest round of heartbeats of that node before it came."""
        self._client = client

    def settle(self, outcome: pb.Outcome) -> None:
        """The node has an outcome: it goes on its way to the client."""
        self._client.settled(self, outcome)

    def broken(self) -> None:
        """The node has ended."""
        self._client.connection_broken(self)


class SimulatedClient:
    """One client. A new process number stands for it after each outcome that nobody knows."""

    def __init__(
        self,
        name: str,
        hosts: Mapping[str, Host],
        processes: "count[int]",
        history: "History",
        setting: Setting,
    ) -> None:
        self.name = name
        self.working = True
        """Whether it begins another operation when one is over."""
        self.operation: Operation | None = None
        self.succeeded = 0
        """Operations whose success it has heard of."""
        self._hosts = hosts
        self._processes = processes
        self._process = next(processes)
        self._history = history
        self._chance = Random(f"{setting.seed} {name}")
        self._conditions = setting.conditions
        self._scheduler = setting.scheduler
        self._network = setting.network
        self._invariants = setting.invariants
        self._trace = setting.trace
        self._written = 0
        self._seen: dict[str, str | None] = {}
        self._target: str | None = None
        self._attempt: Attempt | None = None
        self._request = pb.Request()
        self._acknowledged_before = 0
        self._has_sessions = self._chance.random() < setting.conditions.sessions
        self._session: Session | None = None
        self._sequence = 0
        """Of the operation in its session; 0: it has none."""
        self._lost = False
        """Whether an answer to the operation was lost, so that it may have been done."""

    # --- an operation -------------------------------------------------------------------------------------------

    def think(self) -> None:
        """Begin another operation in a while."""
        if self.working:
            self._scheduler.after(self._chance.expovariate(1 / self._conditions.think_seconds), self._begin_some)

    def _begin_some(self) -> None:
        if self.working and self.operation is None:
            f = self._chance.choices(_FUNCTIONS, _WEIGHTS)[0]
            self.begin(f, f"key-{self._chance.randrange(self._conditions.keys)}")

    def begin(self, f: str, key: str) -> None:
        """Begin one operation; it ends with an outcome, or as unknown when its time is up."""
        value, self._request = self._choose(f, key)
        if self._request.HasField("command") and f != "delete":
            self._invariants.command_sent_once(self._request.command)
        operation = self._history.invoke(self._process, f, key, value)
        self.operation = operation
        self._acknowledged_before = self._invariants.acknowledged_index
        self._sequence, self._lost = 0, False
        self._trace.record(self.name, "invoked", str(operation))
        self._scheduler.after(self._conditions.operation_timeout, partial(self._time_is_up, operation))
        self._try()

    def _choose(self, f: str, key: str) -> tuple[Value, pb.Request]:
        """An argument, and the request that carries it. Every value is unique, so that reads tell writes apart."""
        if f == "read":
            query = pb.KvQuery(get=pb.GetRequest(key=key))
            any_node = self._chance.random() < self._conditions.any_node
            return None, pb.Request(id=1, query=query.SerializeToString(), any_node=any_node)
        self._written += 1
        new = f"{self.name}.{self._written};"
        value: Value = new
        if f == "write":
            command = pb.KvCommand(put=pb.PutRequest(key=key, value=new.encode()))
        elif f == "append":
            command = pb.KvCommand(append=pb.AppendRequest(key=key, value=new.encode()))
        elif f == "delete":
            value, command = None, pb.KvCommand(delete=pb.DeleteRequest(key=key))
        else:
            old = self._seen.get(key)
            expected = None if old is None else old.encode()
            value = [old, new]
            body = pb.CompareAndSetRequest(key=key, expected=expected, value=new.encode())
            command = pb.KvCommand(compare_and_set=body)
        return value, pb.Request(id=1, command=command.SerializeToString())

    def _try(self) -> None:
        """Send the operation to whoever may be the leader."""
        if self.operation is None or self._attempt is not None:
            return
        target = self._target
        if target is None or self._request.any_node or self._chance.random() < STRAY_CHANCE:
            target = self._chance.choice(list(self._hosts))
        request, session = self._in_session()
        attempt = self._attempt = Attempt(self, self._hosts[target], request, self._acknowledged_before, session)
        self._network.carry(self.name, target, self._scheduler.now, partial(self._arrive, attempt))
        if session[0]:
            self._scheduler.after(self._conditions.operation_timeout / 4, partial(self._hear_nothing, attempt))

    def _in_session(self) -> tuple[pb.Request, tuple[int, int]]:
        """What to send for the operation: a command of a client with sessions waits until it has one."""
        if not self._has_sessions or not self._request.HasField("command"):
            return self._request, (0, 0)
        if self._session is None:
            return pb.Request(id=1, open_session=True), (0, 0)
        if not self._sequence:
            self._sequence = self._session.begin()
        if not self._sequence:
            self._session = None
            return self._in_session()
        self._request.sequence = self._sequence
        return self._request, (self._session.id, self._session.written())

    def _hear_nothing(self, attempt: Attempt) -> None:
        """A command of a session is sent again when no answer comes; what was sent may still arrive."""
        if attempt is self._attempt:
            self._attempt, self._target, self._lost = None, None, True
            self._try()

    def _arrive(self, attempt: Attempt) -> None:
        """The request is at the node. It goes in even when the client waits no longer."""
        host = attempt.host
        attempt.life = host.life
        if host.node is not None:
            attempt.round_before = host.rules.read_arrived()
        if not host.submit(attempt, attempt.request, *attempt.session):
            self._answer(attempt, partial(self._refused, ""))

    def _time_is_up(self, operation: Operation) -> None:
        if operation is not self.operation:
            return
        self._target = None
        sent = self._attempt is not None and not self._attempt.request.open_session
        may_be_done = (sent or self._lost) and operation.f != "read"
        self._end("info" if may_be_done else "fail", None, "timeout")

    # --- what nodes say -----------------------------------------------------------------------------------------

    def settled(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        """A node has an outcome. What it promises is checked at the node: the answer may be lost on its way."""
        host = attempt.host
        host.close(attempt)
        if outcome.code == pb.OUTCOME_CODE_OK:
            if attempt.request.HasField("command"):
                host.acknowledge(attempt.request.command, outcome.index)
            elif attempt.request.HasField("query"):
                host.read_answered(attempt.round_before)
                self._invariants.read_answered(host.id, outcome.index, attempt.acknowledged_before)
            opened = attempt.request.open_session
            done = partial(self._opened, outcome) if opened else partial(self._succeeded, attempt, outcome)
            self._answer(attempt, done)
        elif outcome.code == pb.OUTCOME_CODE_SESSION_EXPIRED:
            self._answer(attempt, self._expired)
        elif outcome.code in _NOT_DONE:
            self._answer(attempt, partial(self._refused, outcome.leader_id))
        else:
            self._answer(attempt, self._unknown)

    def connection_broken(self, attempt: Attempt) -> None:
        """The node ended before it had an outcome."""
        self._answer(attempt, self._unknown)

    def _answer(self, attempt: Attempt, action: Callable[[], None]) -> None:
        """Let the client hear of it, unless the node dies before the answer has left."""
        host, life, departure = attempt.host, attempt.life, attempt.host.now

        def arrive() -> None:
            if attempt is not self._attempt:
                return
            if host.was_alive(life, departure):
                action()
            else:
                self._unknown()

        self._network.carry(host.id, self.name, departure, arrive)

    def _succeeded(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        operation = self.operation
        assert operation is not None
        self._target = attempt.host.id
        result = pb.KvResult.FromString(outcome.result)
        self._invariants.index_known(outcome.index)
        found = result.value.decode() if result.HasField("value") else None
        if operation.f == "cas" and not result.found:
            self._seen[operation.key] = found
            self._end("fail", None, MISMATCH)
            return
        if operation.f in ("read", "write"):
            self._seen[operation.key] = found if operation.f == "read" else str(operation.value)
        elif operation.f == "cas" and isinstance(operation.value, list):
            self._seen[operation.key] = operation.value[1]
        self._end("ok", found if operation.f == "read" else None, None)

    def _opened(self, outcome: pb.Outcome) -> None:
        """There is a session: the operation itself can go."""
        self._attempt = None
        self._session = Session(outcome.session_id, lambda: self._scheduler.now)
        self._try()

    def _expired(self) -> None:
        """The session has ended. If no answer was lost, the command surely is not done, and goes into another one."""
        self._session = None
        self._sequence = 0
        if self._lost:
            self._end("info", None, "session expired")
        else:
            self._refused("")

    def _refused(self, leader: str) -> None:
        """Surely not done: try again, where the leader is said to be."""
        self._attempt = None
        self._target = leader or None
        self._scheduler.after(self._chance.uniform(0.001, BACK_OFF_SECONDS_MAX), self._try)

    def _unknown(self) -> None:
        self._target = None
        attempt = self._attempt
        in_session = attempt is not None and (attempt.session[0] or attempt.request.open_session)
        if self.operation is not None and self.operation.f != "read" and not in_session:
            self._end("info", None, "connection lost")
        else:
            self._lost |= attempt is not None and bool(attempt.session[0])
            self._refused("")

    def _end(self, outcome: str, output: str | None, error: str | None) -> None:
        operation, self.operation = self.operation, None
        assert operation is not None
        if self._attempt is not None:
            self._attempt.host.close(self._attempt)
            self._attempt = None
        if self._sequence and self._session is not None:
            self._session.end(self._sequence)
        self._history.complete(operation, outcome, output, error)
        self._trace.record(self.name, "completed", str(operation))
        if outcome == "info":
            self._process = next(self._processes)
        self.succeeded += outcome == "ok" or error == MISMATCH
        self.think()


class History:
    """The operations of a run in the order of their calls."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.operations: list[Operation] = []
        self._scheduler = scheduler
        self._position = 0

    def invoke(self, process: int, f: str, key: str, value: Value) -> Operation:
        """A client calls."""
        self._position += 1
        operation = Operation(process, f, key, value, self._position, invoked_at=self._nanoseconds())
        self.operations.append(operation)
        return operation

    def complete(self, operation: Operation, outcome: str, output: str | None, error: str | None) -> None:
        """An outcome has come, or nobody waits for it any longer."""
        self._position += 1
        operation.outcome, operation.output, operation.error = outcome, output, error
        operation.completed = None if outcome == "info" else self._position
        operation.completed_at = self._nanoseconds()

    def _nanoseconds(self) -> int:
        return int(self._scheduler.now * 1e9)
