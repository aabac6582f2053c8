"""Simulate with one mutant in this process: `python -m tests.mutants._hunt FILE A:B NODES SECONDS`.

Runs the seeds in order, up to the first violation or until this process has used SECONDS of CPU time. Prints, as JSON,
what caught the mutant, if anything. Exit status 2 if the mutant does not fit the code.
"""

import json
import sys
import time
from pathlib import Path

from raft_testbed.mutation import MutantError, load_mutant
from raft_testbed.simulation.cluster import run
from raft_testbed.simulation.parameters import Options


def main() -> int:
    path, seeds, nodes, seconds_max = sys.argv[1:]
    try:
        load_mutant(Path(path))
    except MutantError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(hunt(seeds, Options(int(nodes)), float(seconds_max))))
    return 0


def hunt(seeds: str, options: Options, seconds_max: float) -> dict[str, object]:
    """Return the last four fields of `Outcome`."""
    first, stop = map(int, seeds.split(":"))
    seed = caught_by = None
    what = f"survived {stop - first} seeds"
    for number in range(first, stop):
        if time.process_time() > seconds_max:
            what = f"survived {number - first} seeds, up to its limit of CPU time"
            break
        failure = run(number, options).failure
        if failure is not None:
            seed, caught_by, what = number, failure.invariant, failure.what
            break
    return {"seed": seed, "caught_by": caught_by, "seconds": round(time.process_time(), 1), "what": what}


if __name__ == "__main__":
    sys.exit(main())
