"""Simulates with one bug planted, for good: `python -m tests.mutants._hunt FILE A:B NODES`, in a process of its own.

Prints, as JSON, how many seeds were run, and what caught the bug if anything did. Seeds are run in order up to the
first violation. Exit status 2 when the mutant no longer fits the code.
"""

import json
import sys
from pathlib import Path

from raft_pkg.simulation.conditions import Options
from raft_pkg.simulation.mutation import MutantError, load_mutant
from raft_pkg.simulation.world import run


def main() -> int:
    path, seeds, nodes = sys.argv[1:]
    try:
        load_mutant(Path(path))
    except MutantError as error:
        print(error, file=sys.stderr)
        return 2
    first, stop = map(int, seeds.split(":"))
    for seed in range(first, stop):
        failure = run(seed, Options(int(nodes))).failure
        if failure is not None:
            print(json.dumps({"seed": seed, "caught_by": failure.invariant, "what": failure.what}))
            return 0
    print(json.dumps({"seed": None, "caught_by": None, "what": f"survived seeds {seeds}"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
