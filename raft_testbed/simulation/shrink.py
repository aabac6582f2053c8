"""Delta debugging: reduce a failing run to few faults that violate the same invariant."""

from collections.abc import Callable
from dataclasses import replace

from raft_testbed.simulation.cluster import Result
from raft_testbed.simulation.parameters import Options

RUNS_MAX = 200


def shrink(failing: Result, options: Options, run: Callable[[int, Options], Result]) -> tuple[Result, Options]:
    """Remove groups of faults, of decreasing size, while the same invariant is violated.

    `run` runs one seed with options; call it at most `RUNS_MAX` times. Return the last failing run, and its options.
    """
    assert failing.failure is not None
    invariant = failing.failure.invariant
    kept = failing.fault_numbers
    best, best_options = failing, options
    runs = 0
    size = max(1, len(kept))
    while size >= 1 and runs < RUNS_MAX:
        position = 0
        while position < len(kept) and runs < RUNS_MAX:
            fewer = kept[:position] + kept[position + size :]
            tried = replace(options, faults_kept=tuple(fewer))
            result = run(failing.seed, tried)
            runs += 1
            if result.failure is not None and result.failure.invariant == invariant:
                kept, best, best_options = fewer, result, tried
            else:
                position += size
        size //= 2
    return best, best_options
