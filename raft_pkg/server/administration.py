"""Leadership transfers and membership changes: futures for those who requested them."""

import asyncio
from typing import Any

from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError, TransferRefusedError
from raft_pkg.core.membership import Change
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import (
    BecameFollower,
    ConfigurationChangeFailed,
    ConfigurationCommitted,
    ElectionStarted,
    LeaderChanged,
    PreVoteStarted,
    RaftEvent,
    TransferAborted,
)


class Administration:
    """Owns the queued requests, the transfer in progress and the change in progress."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self._transfers: list[tuple[str, asyncio.Future[None]]] = []
        self._transfer_in_progress: tuple[str, asyncio.Future[None]] | None = None
        self._changes: list[tuple[Change, asyncio.Future[int]]] = []
        self._change_in_progress: asyncio.Future[int] | None = None

    @property
    def has_requests(self) -> bool:
        """Whether requests are queued."""
        return bool(self._transfers or self._changes)

    @property
    def is_transferring(self) -> bool:
        """Whether leadership is being transferred. Client requests then wait until it is known who leads.

        This holds on a follower too: this node becomes one when it learns of the election, before it learns the
        outcome, and its clients would look for a leader in vain.
        """
        return self._transfer_in_progress is not None

    def transfer_leadership(self, target: str) -> "asyncio.Future[None]":
        """Queue a transfer to `target`; see `Node.transfer_leadership`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transfers.append((target, future))
        return future

    def change_members(self, change: Change) -> "asyncio.Future[int]":
        """Queue a membership change; see `Node.change_members`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._changes.append((change, future))
        return future

    def start_requests(self, now: float) -> None:
        """Pass queued requests to the core."""
        transfers, self._transfers = self._transfers, []
        for target, transfer in transfers:
            self._start_transfer(target, transfer, now)
        changes, self._changes = self._changes, []
        for change, future in changes:
            self._start_change(change, future, now)

    def handle_raft_event(self, raft_event: RaftEvent) -> None:
        """Complete the transfer or the change that the event is about."""
        self._watch_transfer(raft_event)
        self._watch_change(raft_event)

    def stop(self, reason: str) -> None:
        """Fail all requests: the node stops."""
        for _, transfer in self._transfers:
            _fail(transfer, TransferRefusedError(reason))
        self._end_transfer(TransferRefusedError(reason))
        for _, change in self._changes:
            _fail(change, ChangeRefusedError(reason))
        self._end_change(NotLeaderError(None))

    def _start_transfer(self, target: str, future: "asyncio.Future[None]", now: float) -> None:
        try:
            self._raft.transfer_leadership(target, now)
        except (NotLeaderError, TransferRefusedError) as error:
            _fail(future, error)
        else:
            self._end_transfer(TransferRefusedError(f"superseded by a transfer to {target}"))
            self._transfer_in_progress = target, future

    def _start_change(self, change: Change, future: "asyncio.Future[int]", now: float) -> None:
        try:
            self._raft.change_members(change, now)
        except (NotLeaderError, ChangeRefusedError) as error:
            _fail(future, error)
        else:
            self._change_in_progress = future

    def _watch_transfer(self, raft_event: RaftEvent) -> None:
        if self._transfer_in_progress is None:
            return
        target, _ = self._transfer_in_progress
        match raft_event:
            case TransferAborted():
                self._end_transfer(TransferRefusedError(f"{target} did not take over within an election time-out"))
            case LeaderChanged(leader=str(leader)):
                refused = TransferRefusedError(f"{leader} became leader instead of {target}")
                self._end_transfer(None if leader == target else refused)
            case PreVoteStarted() | ElectionStarted():
                self._end_transfer(TransferRefusedError(f"{target} did not take over, and no leader is known"))
            case BecameFollower() if not self._raft.is_voter:
                reason = f"{self._raft.node_id} is no longer a voter and does not learn who leads"
                self._end_transfer(TransferRefusedError(reason))

    def _end_transfer(self, error: TransferRefusedError | None) -> None:
        if self._transfer_in_progress is not None:
            _, future = self._transfer_in_progress
            self._transfer_in_progress = None
            if error is not None:
                _fail(future, error)
            elif not future.done():
                future.set_result(None)

    def _watch_change(self, raft_event: RaftEvent) -> None:
        match raft_event:
            case ConfigurationCommitted(index=index):
                self._end_change(None, index)
            case ConfigurationChangeFailed(reason=why):
                self._end_change(ChangeRefusedError(why))
            case BecameFollower(leader=leader):
                self._end_change(NotLeaderError(leader))

    def _end_change(self, error: NotLeaderError | ChangeRefusedError | None, index: int = 0) -> None:
        future, self._change_in_progress = self._change_in_progress, None
        if future is None:
            return
        if error is not None:
            _fail(future, error)
        elif not future.done():
            future.set_result(index)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    """Fail a future unless it was cancelled meanwhile."""
    if not future.done():
        future.set_exception(error)
