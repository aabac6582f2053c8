"""Simulated clients: they find the leader, send again what may be sent again, and call unknown what may have been done.

The same rules as the client library's (`client.dispatcher`), and the very same numbers of commands (`client.session`),
in virtual time. Some clients have no session: what may have been done is never sent again then.
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
from raft_testbed.simulation.context import Setting
from raft_testbed.simulation.machine import Connection, Host
from raft_testbed.simulation.scheduler import Scheduler

ROW_WAIT_SHARE = 0.25
"""How long commands may wait for others that go in one request with them: a share of the time that answers may take."""
BACK_OFF_SECONDS_MAX = 0.05
"""Greatest time before an operation that surely did not happen is tried again."""
STRAY_CHANCE = 0.15
"""Share of calls that go anywhere, whoever is said to lead: nodes that think they lead must be asked too."""
PAUSE_SECONDS = (0.3, 2.0)
"""How long a client does nothing now and then: a session may expire."""
_NOT_DONE = {pb.OUTCOME_CODE_NOT_LEADER, pb.OUTCOME_CODE_UNAVAILABLE, pb.OUTCOME_CODE_BUSY}
LONG_BYTES_MIN, LONG_BYTES_MAX = 500, 3000
"""A long command takes some sectors of a disk."""
_FUNCTIONS = ("read", "write", "append", "cas", "delete")
_WEIGHTS = (6, 3, 4, 3, 1)


class Call:
    """What a client wants of the cluster: from the call to its outcome, over however many attempts."""

    def __init__(self, request: pb.Request, acknowledged_before: int, ended: Callable[[str, pb.Outcome | None], None]):
        self.request = request
        self.acknowledged_before = acknowledged_before
        """What some client knew to be done when it began."""
        self.ended = ended
        """Called once, with `ok` and what the node answered, `fail` or `info`."""
        self.attempt: Attempt | None = None
        """The one that may still be answered."""
        self.indeterminate = False
        """An earlier attempt got no answer."""
        self.comes_again = False
        """The network brings an earlier attempt once more, whatever became of it."""
        self.session: ClientSession | None = None
        self.is_over = False

    @property
    def is_command(self) -> bool:
        """Whether it changes something."""
        return bool(self.request.commands)

    def end(self, outcome: str, answer: pb.Outcome | None = None) -> None:
        """Nobody waits for it any longer."""
        self.is_over = True
        if self.attempt is not None:
            self.attempt.host.close(self.attempt)
            self.attempt = None
        if self.session is not None:
            self.session.complete(self.request.sequence)
        self.ended(outcome, answer)


class Attempt(Connection):
    """One call sent to one node."""

    def __init__(self, client: "SimulatedClient", call: Call, host: Host, acknowledged: int) -> None:
        self.call = call
        self.host = host
        self.request = pb.Request()
        self.request.CopyFrom(call.request)
        self.session_id = call.session.id if call.session else 0
        self.acknowledged = acknowledged
        """The client waits for no command of the session below this number."""
        self.life = 0
        """Of the node that got it."""
        self.round_before = 0
        """The newest round of heartbeats of that node before it came."""
        self._client = client

    def complete(self, outcome: pb.Outcome) -> None:
        """The node has an outcome: it goes on its way to the client."""
        self._client.attempt_completed(self, outcome)

    def broken(self) -> None:
        """The node has ended."""
        self._client.connection_broken(self)


class Row(Connection):
    """Commands of one session with consecutive numbers, sent to one node as one request."""

    def __init__(self, attempts: list[Attempt]) -> None:
        self._attempts = dict(enumerate(attempts, start=1))
        """Those that have no outcome yet, by the ids of their commands."""
        self._host = attempts[0].host
        commands = [attempt.request.commands[0] for attempt in attempts]
        self._request = pb.Request(id=1, commands=commands, sequence=attempts[0].request.sequence)
        self._session_id = attempts[0].session_id
        self._acknowledged = max(attempt.acknowledged for attempt in attempts)

    def submit(self) -> bool:
        """Give the request to the node; False: nobody listens."""
        return self._host.submit(self, self._request, self._session_id, self._acknowledged)

    def complete(self, outcome: pb.Outcome) -> None:
        """The node has the outcome of some: each goes its own way from here."""
        for place in range(outcome_count(outcome)):
            own = pb.Outcome()
            own.CopyFrom(outcome)
            own.id, own.count = 1, 1
            own.results[:] = outcome.results[place : place + 1]
            attempt = self._attempts.pop(outcome.id + place)
            if not self._attempts:
                self._host.close(self)
            attempt.complete(own)

    def broken(self) -> None:
        """The node has ended."""
        for attempt in self._attempts.values():
            attempt.broken()


class SimulatedClient:
    """One client, with a session or without. What it does at once it does as so many waiters."""

    def __init__(
        self,
        name: str,
        hosts: Mapping[str, Host],
        processes: "count[int]",
        history: "History",
        setting: Setting,
    ) -> None:
        self.name = name
        self.rng = Random(f"{setting.seed} {name}")
        self.setting = setting
        self._hosts = hosts
        self._conditions = setting.conditions
        self._scheduler = setting.scheduler
        self._network = setting.network
        self._invariants = setting.invariants
        self._target: str | None = None
        self._has_session = self.rng.random() < setting.conditions.sessions
        self._session: ClientSession | None = None
        self._opening: Call | None = None
        self._without_session: list[Call] = []
        """Commands that wait until a session is open."""
        self._gathering: dict[str, list[Attempt]] = {}
        """Commands that wait for others to go in one request with them, by the node that they go to."""
        waiters = self.rng.randint(1, setting.conditions.pipelined)
        self.waiters = [Waiter(f"{name}.{number}", self, processes, history) for number in range(waiters)]

    def submit(self, call: Call) -> None:
        """Take charge of a call."""
        if call.is_command:
            self._invariants.command_sent_once(call.request.commands[0])
        self._scheduler.after(self._conditions.operation_timeout, partial(self._time_is_up, call))
        self._try(call)

    def _time_is_up(self, call: Call) -> None:
        if call.is_over:
            return
        self._target = None
        may_be_done = call.is_command and (call.indeterminate or call.comes_again or call.attempt is not None)
        call.end("info" if may_be_done else "fail")

    # --- sessions -----------------------------------------------------------------------------------------------

    def _number(self, call: Call) -> bool:
        """Give a command its number, if it needs one; False: it waits for a session."""
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

    def _session_opened(self, _outcome: str, answer: pb.Outcome | None) -> None:
        self._opening = None
        assert answer is not None
        self._session = ClientSession(answer.session_id, lambda: self._scheduler.now)
        waiting, self._without_session = self._without_session, []
        for call in waiting:
            self._try(call)

    def _expired(self, call: Call) -> None:
        """The session is no more: a command that was sent once takes another one."""
        self.setting.trace.record_seldom(self.name, "session_expired")
        if call.session is self._session:
            self._session = None
        if call.indeterminate:
            call.end("info")
            return
        assert call.session is not None
        call.session.complete(call.request.sequence)
        call.session = None
        self._invariants.command_renewed(call.request.commands[0])
        self._try_later(call)

    # --- attempts -----------------------------------------------------------------------------------------------

    def _try(self, call: Call) -> None:
        """Send a call to whoever may be the leader."""
        if call.is_over or call.attempt is not None or not self._number(call):
            return
        target = self._target
        if target is None or call.request.any_node or self.rng.random() < STRAY_CHANCE:
            target = self.rng.choice(list(self._hosts))
        acknowledged = call.session.mark_sent() if call.session else 0
        attempt = call.attempt = Attempt(self, call, self._hosts[target], acknowledged)
        self._network.carry(self.name, target, self._scheduler.now, partial(self._arrive, attempt))
        if call.session is not None:
            repeated = Attempt(self, call, self._hosts[target], acknowledged)
            call.comes_again |= self._network.repeat_late(self.name, target, partial(self._arrive, repeated))
        if self._has_session:
            self._scheduler.after(self._conditions.answer_timeout, partial(self._no_answer, attempt))

    def _try_later(self, call: Call) -> None:
        call.attempt = None
        self._scheduler.after(self.rng.uniform(0.001, BACK_OFF_SECONDS_MAX), partial(self._try, call))

    def _arrive(self, attempt: Attempt) -> None:
        """The request is at the node. It goes in even when the client waits no longer."""
        host = attempt.host
        if attempt.session_id and self.rng.random() < self._conditions.rows:
            gathering = self._gathering.setdefault(host.id, [])
            gathering.append(attempt)
            if len(gathering) == 1:
                delay = self.rng.uniform(0, ROW_WAIT_SHARE * self._conditions.answer_timeout)
                self._scheduler.after(delay, partial(self._submit_gathered, host.id))
            return
        attempt.life = host.life
        if host.node is not None:
            attempt.round_before = host.rules.read_arrived()
        if not host.submit(attempt, attempt.request, attempt.session_id, attempt.acknowledged):
            self._answer(attempt, partial(self._refused, attempt.call, ""))

    def _submit_gathered(self, host_id: str) -> None:
        for attempts in _rows(self._gathering.pop(host_id)):
            for attempt in attempts:
                attempt.life = attempt.host.life
            if not Row(attempts).submit():
                for attempt in attempts:
                    self._answer(attempt, partial(self._refused, attempt.call, ""))

    def _no_answer(self, attempt: Attempt) -> None:
        """The node is silent: another one is asked."""
        if attempt is attempt.call.attempt:
            attempt.host.close(attempt)
            self._lost(attempt.call)

    def attempt_completed(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        """A node has an outcome. What it promises is checked at the node: the answer may be lost on its way."""
        host, call, request = attempt.host, attempt.call, attempt.request
        host.close(attempt)
        if outcome.code == pb.OUTCOME_CODE_OK:
            if request.commands:
                host.acknowledge(request.commands[0], outcome.index)
            elif request.queries:
                if not request.any_node:  # a follower's reads are its leader's to confirm
                    host.read_answered(attempt.round_before)
                self._invariants.read_answered(host.id, outcome.index, call.acknowledged_before)
            self._answer(attempt, partial(self._succeeded, attempt, outcome))
        elif outcome.code in _NOT_DONE:
            self._answer(attempt, partial(self._refused, call, outcome.leader_id))
        elif outcome.code == pb.OUTCOME_CODE_SESSION_EXPIRED:
            if call.session is not None and call.session.id == attempt.session_id:  # else it has gone to another one
                self._invariants.session_expired(request.commands[0])
            self._answer(attempt, partial(self._expired, call))
        else:
            self._answer(attempt, partial(self._lost, call))

    def connection_broken(self, attempt: Attempt) -> None:
        """The node ended before it had an outcome."""
        self._answer(attempt, partial(self._lost, attempt.call))

    def _answer(self, attempt: Attempt, action: Callable[[], None]) -> None:
        """Let the client hear of it, unless the node dies before the answer has left."""
        host, life, departure = attempt.host, attempt.life, attempt.host.now

        def arrive() -> None:
            if attempt is not attempt.call.attempt:
                return
            if host.was_alive(life, departure):
                action()
            else:
                self._lost(attempt.call)

        self._network.carry(host.id, self.name, departure, arrive)

    def _succeeded(self, attempt: Attempt, outcome: pb.Outcome) -> None:
        if not attempt.request.any_node:
            self._target = attempt.host.id
        self._invariants.index_known(outcome.index)
        attempt.call.end("ok", outcome)

    def _refused(self, call: Call, leader: str) -> None:
        """Surely not done this time: try again, where the leader is said to be."""
        self._target = leader if leader in self._hosts else None
        self._try_later(call)

    def _lost(self, call: Call) -> None:
        """There is no answer. With a session, a command is sent again with the same number."""
        self._target = None
        if call.is_command and call.session is None:
            call.end("info")
        else:
            call.indeterminate = True
            self._try_later(call)
            if call.is_command:
                self.setting.trace.record_seldom(self.name, "sent_again", f"number {call.request.sequence}")


def _rows(attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    """Those of one session with consecutive numbers together."""
    row: list[Attempt] = []
    for attempt in sorted(attempts, key=lambda attempt: (attempt.session_id, attempt.request.sequence)):
        if row and (attempt.session_id, attempt.request.sequence) != (
            row[-1].session_id,
            row[-1].request.sequence + 1,
        ):
            yield row
            row = []
        row.append(attempt)
    yield row


class Waiter:
    """One operation after the other, through its client; another process number after an unknown outcome."""

    def __init__(self, name: str, client: SimulatedClient, processes: "count[int]", history: "History") -> None:
        self.name = name
        self.working = True
        """Whether it begins another operation when one is over."""
        self.operation: Operation | None = None
        self.succeeded = 0
        """Operations whose success it has heard of."""
        self._client = client
        self._rng = client.rng
        self._conditions = client.setting.conditions
        self._scheduler = client.setting.scheduler
        self._invariants = client.setting.invariants
        self._trace = client.setting.trace
        self._processes = processes
        self._process = next(processes)
        self._history = history
        self._written = 0
        self._seen: dict[str, str | None] = {}
        self._may_pause = True

    def think(self) -> None:
        """Begin another operation in a while."""
        if self.working:
            delay = self._rng.expovariate(1 / self._conditions.think_seconds)
            if self._may_pause and self._rng.random() < self._conditions.pause_probability:
                delay += self._rng.uniform(*PAUSE_SECONDS)
            self._scheduler.after(delay, self._begin_some)

    def hurry(self) -> None:
        """Make no pauses any longer."""
        self._may_pause = False
        self._begin_some()

    def _begin_some(self) -> None:
        if self.working and self.operation is None:
            f = self._rng.choices(_FUNCTIONS, _WEIGHTS)[0]
            self.begin(f, f"key-{self._rng.randrange(self._conditions.keys)}")

    def begin(self, f: str, key: str) -> None:
        """Begin one operation; it ends with an outcome, or as unknown when its time is up."""
        value, request = self._choose(f, key)
        operation = self.operation = self._history.invoke(self._process, f, key, value)
        self._trace.record(self.name, "invoked", str(operation))
        self._client.submit(Call(request, self._invariants.acknowledged_index, self._ended))

    def _choose(self, f: str, key: str) -> tuple[Value, pb.Request]:
        """An argument, and the request that carries it. Every value is unique, so that reads tell writes apart."""
        if f == "read":
            query = kv.KvQuery(get=kv.GetRequest(key=key))
            any_node = self._rng.random() < self._conditions.any_node_reads
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
            old = self._seen.get(key)
            expected = None if old is None else old.encode()
            value = [old, new]
            body = kv.CompareAndSetRequest(key=key, expected=expected, value=new.encode())
            command = kv.KvCommand(compare_and_set=body)
        return value, pb.Request(id=1, commands=[command.SerializeToString() + self._mark()])

    def _mark(self) -> bytes:
        """What makes a command unlike any other: a field that the store passes over. Some are long."""
        mark = f"{self.name}.{self._written}".encode()
        if self._rng.random() < self._conditions.long_commands:
            mark = mark.ljust(self._rng.randint(LONG_BYTES_MIN, LONG_BYTES_MAX), b".")
        size = bytes([len(mark) & 0x7F | 0x80, len(mark) >> 7])
        return b"\xfa\x3f" + size + mark  # field 1023, length-delimited

    def _ended(self, outcome: str, answer: pb.Outcome | None) -> None:
        operation, self.operation = self.operation, None
        assert operation is not None
        output = error = None
        if answer is not None:
            outcome, output, error = self._learn(operation, kv.KvResult.FromString(single_result(answer)))
        elif outcome == "fail":
            error = "timeout"
        self._history.complete(operation, outcome, output, error)
        self._trace.record(self.name, "completed", str(operation))
        if outcome == "info":
            self._process = next(self._processes)
        self.succeeded += outcome == "ok" or error == MISMATCH
        self.think()

    def _learn(self, operation: Operation, result: kv.KvResult) -> tuple[str, str | None, str | None]:
        """What an answer says: outcome, output and error."""
        found = result.value.decode() if result.HasField("value") else None
        if operation.f == "cas" and not result.found:
            self._seen[operation.key] = found
            return "fail", None, MISMATCH
        if operation.f in ("read", "write"):
            self._seen[operation.key] = found if operation.f == "read" else str(operation.value)
        elif operation.f == "cas" and isinstance(operation.value, list):
            self._seen[operation.key] = operation.value[1]
        return "ok", found if operation.f == "read" else None, None


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
