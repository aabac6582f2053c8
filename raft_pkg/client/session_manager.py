"""Opens the sessions of a client and holds back the commands that wait for one."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.session import ClientSession
from raft_pkg.errors import InvalidOperationError, OperationFailedError


class SessionManager:
    """Owns the current session and the commands without one.

    `submit` executes the operation that opens a session; `requeue` takes commands back when they can get one.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        submit: Callable[[PendingOperation], None],
        requeue: Callable[[Sequence[PendingOperation]], None],
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._requeue = requeue
        self._current: ClientSession | None = None
        self._opening: PendingOperation | None = None
        self._waiting: list[PendingOperation] = []

    def assign(self, command: PendingOperation) -> ClientSession | None:
        """Give a command a session and a sequence number, or hold it back and return None until a session is open."""
        session = self._current
        sequence = 0 if session is None else session.next_sequence()
        if not sequence:
            self._waiting.append(command)
            if self._opening is None:
                self._open(command.timeout)
            return None
        command.session = session
        command.sequence = sequence
        return session

    def expired(self, session: ClientSession | None) -> None:
        """Assign no more commands to a session that a node reported as expired."""
        if session is self._current:
            self._current = None

    def _open(self, timeout: float) -> None:
        self._current = None
        self._opening = opening = PendingOperation(
            "open_session", "open_session", None, b"", timeout=timeout, loop=self._loop
        )
        opening.future.add_done_callback(lambda _future: self._opened(opening))
        self._submit(opening)

    def _opened(self, opening: PendingOperation) -> None:
        """Requeue the waiting commands. If the session was not opened in time, the first of them asks again."""
        self._opening = None
        waiting = [command for command in self._waiting if not command.future.done()]
        self._waiting.clear()
        error = opening.future.exception()
        if isinstance(error, InvalidOperationError):
            for command in waiting:
                command.future.set_exception(OperationFailedError(f"{command}: no session can be opened: {error}"))
            return
        if error is None:
            self._current = ClientSession(opening.future.result().session_id, self._loop.time)
        if waiting:
            self._requeue(waiting)
