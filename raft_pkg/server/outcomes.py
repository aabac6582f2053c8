"""Coalesce the results of commands and queries into the fewest outcomes."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.applied import Applied
from raft_pkg.server.pending import PendingRequests

RESULTS_BYTES_MAX = 1024 * 1024
"""Limit on the bytes of results in one outcome; a single larger result is allowed."""
RESULT_OVERHEAD_BYTES = 6
"""Greatest encoding overhead of one result, in bytes."""

_index_and_expired = attrgetter("index", "expired")


def of_applied(pending: PendingRequests, applied: Sequence[Applied], session_id: int = 0) -> Iterator[pb.Outcome]:
    """Yield the outcomes of applied commands in order; `session_id` is the session that was opened (0: none)."""
    first = applied[0]
    if not first.result and not first.expired and applied.count(first) == len(applied):  # the common case
        yield _success(pending.first_id, len(applied), [], first.index, session_id)
        return
    first_id = pending.first_id
    for (index, expired), group in groupby(applied, _index_and_expired):
        results = [each.result for each in group]
        if expired:
            message = f"session {pending.session_id} has expired"
            yield pb.Outcome(id=first_id, count=len(results), code=pb.OUTCOME_CODE_SESSION_EXPIRED, message=message)
        else:
            yield from of_results(first_id, results, index, session_id)
        first_id += len(results)


def of_results(first_id: int, results: Sequence[bytes], index: int, session_id: int = 0) -> Iterator[pb.Outcome]:
    """Yield outcomes of results at one index, split at `RESULTS_BYTES_MAX`."""
    start = size = 0
    for offset, result in enumerate(results):
        result_size = len(result) + RESULT_OVERHEAD_BYTES
        if offset > start and size + result_size > RESULTS_BYTES_MAX:
            yield _success(first_id + start, offset - start, results[start:offset], index, session_id)
            start, size = offset, 0
        size += result_size
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
