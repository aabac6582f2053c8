"""Outcomes for waiters, as few as say what is to be said."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.pending import PendingRequests
from raft_pkg.server.sessions import Applied

RESULTS_BYTES_MAX = 1024 * 1024
"""An outcome has no more bytes of results than this, unless it has a single one."""
RESULT_OVERHEAD_BYTES = 6
"""What a result takes besides its own bytes, at the most."""

_place = attrgetter("index", "expired")


def of_applied(pending: PendingRequests, applied: Sequence[Applied], session_id: int = 0) -> Iterator[pb.Outcome]:
    """What became of commands, each in its place; `session_id` is the session that was opened (0: none)."""
    like = applied[0]
    if not like.result and not like.expired and applied.count(like) == len(applied):  # so it is nearly always
        yield _success(pending.first_id, len(applied), [], like.index, session_id)
        return
    first_id = pending.first_id
    for (index, expired), group in groupby(applied, _place):
        results = [one.result for one in group]
        if expired:
            message = f"session {pending.session_id} has expired"
            yield pb.Outcome(id=first_id, count=len(results), code=pb.OUTCOME_CODE_SESSION_EXPIRED, message=message)
        else:
            yield from of_results(first_id, results, index, session_id)
        first_id += len(results)


def of_results(first_id: int, results: Sequence[bytes], index: int, session_id: int = 0) -> Iterator[pb.Outcome]:
    """Successes at one index, cut where they would become too large."""
    start = size = 0
    for place, result in enumerate(results):
        its_size = len(result) + RESULT_OVERHEAD_BYTES
        if place > start and size + its_size > RESULTS_BYTES_MAX:
            yield _success(first_id + start, place - start, results[start:place], index, session_id)
            start, size = place, 0
        size += its_size
    yield _success(first_id + start, len(results) - start, results[start:], index, session_id)


def _success(first_id: int, count: int, results: Sequence[bytes], index: int, session_id: int) -> pb.Outcome:
    return pb.Outcome(
        id=first_id,
        count=count,
        code=pb.OUTCOME_CODE_OK,
        results=results if any(results) else (),
        index=index,
        session_id=session_id,
    )
