"""Requests in flight: admission up to a limit of bytes, and delivery of each outcome to its waiter."""

from collections.abc import Iterable, Sequence

from raft_pkg.core.raft import Raft
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.client_services import Waiter
from raft_pkg.server.pending import COMMAND_OVERHEAD_BYTES, PendingRequests

QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Limit on the bytes of requests in flight; further requests are rejected with BUSY."""
COMMAND_BYTES_MAX = 2 * 1024 * 1024
"""Limit on the bytes of one command or query; the state machine may have narrower limits."""

Rejection = tuple[pb.OutcomeCode.ValueType, str]
"""Outcome code and message."""


class InFlightRequests:
    """Counts the bytes of admitted requests and knows which waiters to flush at the end of the iteration."""

    def __init__(self, raft: Raft) -> None:
        self.queued_bytes = 0
        """Bytes of all requests that were admitted and not completed."""
        self._raft = raft
        self._dirty: set[Waiter] = set()
        """Waiters with outcomes that have not been flushed."""

    def admit(self, pending: PendingRequests) -> Rejection | None:
        """Count the requests as in flight, or return why they are rejected."""
        if self.queued_bytes + pending.size > QUEUED_BYTES_MAX:
            return pb.OUTCOME_CODE_BUSY, f"requests in flight exceed {QUEUED_BYTES_MAX} bytes"
        self.queued_bytes += pending.size
        return None

    def reject(self, pending: PendingRequests, code: pb.OutcomeCode.ValueType, message: str) -> None:
        """Complete requests that were not admitted."""
        self._hand_over(
            pending.waiter,
            pb.Outcome(
                id=pending.first_id,
                count=len(pending),
                code=code,
                message=message,
                leader_id=self._raft.leader or "",
                leader_address=self.leader_address,
            ),
        )

    def complete(self, pending: PendingRequests, outcomes: Iterable[pb.Outcome]) -> None:
        """Hand the outcomes of admitted requests to their waiter."""
        self.queued_bytes -= pending.size
        for outcome in outcomes:
            self._hand_over(pending.waiter, outcome)

    def fail(self, pending: PendingRequests, code: pb.OutcomeCode.ValueType, message: str) -> None:
        """Complete admitted requests with an error."""
        self.queued_bytes -= pending.size
        self.reject(pending, code, message)

    def fail_not_leader(self, failed: Sequence[PendingRequests], message: str = "") -> None:
        """Complete admitted requests with NOT_LEADER: they were not executed and never will be."""
        message = message or f"{self._raft.node_id} is not the leader of term {self._raft.current_term}"
        for pending in failed:
            self.fail(pending, pb.OUTCOME_CODE_NOT_LEADER, message)

    def flush(self) -> None:
        """Let every waiter with new outcomes send them."""
        dirty, self._dirty = self._dirty, set()
        for waiter in dirty:
            waiter.flush()

    @property
    def leader_address(self) -> str:
        """HOST:PORT of the leader as far as this node knows; "" if it knows none."""
        return self._raft.addresses.get(self._raft.leader or "", "")

    def _hand_over(self, waiter: Waiter, outcome: pb.Outcome) -> None:
        waiter.complete(outcome)
        self._dirty.add(waiter)


def validate_size(pending: PendingRequests) -> str:
    """Return why a single request is too large, or ""."""
    size = pending.size - COMMAND_OVERHEAD_BYTES
    if len(pending) == 1 and size > COMMAND_BYTES_MAX:
        return f"request {pending.first_id}: {size} bytes, at most {COMMAND_BYTES_MAX}"
    return ""
