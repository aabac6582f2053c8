"""Operations that wait to be written to a node."""

from collections import deque
from collections.abc import Callable, Sequence

from raft_pkg.client.operation import PendingOperation
from raft_pkg.client.session import ClientSession

BATCH_BYTES_MAX = 1024 * 1024
"""A batch takes no further operation once its payloads have this many bytes. A single operation may be larger."""


class RequestQueue:
    """Operations in the order in which they are to be written.

    `assign_session` gives a command a session, or returns None and keeps the command itself.
    """

    def __init__(self, assign_session: Callable[[PendingOperation], ClientSession | None]) -> None:
        self._operations: deque[PendingOperation] = deque()
        self._assign_session = assign_session

    def __len__(self) -> int:
        return len(self._operations)

    def append(self, operation: PendingOperation) -> None:
        self._operations.append(operation)

    def prepend(self, operations: Sequence[PendingOperation]) -> None:
        """Put operations first, in their own order."""
        self._operations.extendleft(reversed(operations))

    def drop_done(self) -> None:
        """Drop operations at the head that were given up meanwhile."""
        while self._operations and self._operations[0].future.done():
            self._operations.popleft()

    def take(self, count_max: int) -> tuple[list[PendingOperation], ClientSession | None]:
        """Remove the next batch; return its operations and the session of the commands among them.

        A batch has commands of one session only.
        """
        queue = self._operations
        taken: list[PendingOperation] = []
        batch_session: ClientSession | None = None
        bytes_left = BATCH_BYTES_MAX
        while queue and len(taken) < count_max and bytes_left > 0:
            operation = queue.popleft()
            if operation.future.done():
                continue
            if operation.operation_type == "command":
                session = operation.session or self._assign_session(operation)
                if session is None:
                    continue
                if batch_session is not None and session is not batch_session:
                    queue.appendleft(operation)
                    break
                batch_session = session
            taken.append(operation)
            bytes_left -= len(operation.payload)
        return taken, batch_session
