"""`python -m tests.benchmarks`: measures, and writes bench.json, bench.md and bench.html."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from raft_pkg.errors import RaftError
from raft_pkg.local import LocalCluster
from tests.benchmarks import peers, render
from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.parts import PARTS
from tests.benchmarks.session import FULL, QUICK, Session

FORMAT = 1


def main() -> int:
    """Exit status: 0 everything asked for was measured, whatever came out; 1 not everything; 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="try it out: one short round, whose numbers mean little")
    parser.add_argument("--render", type=Path, metavar="FILE", help="draw an earlier run's bench.json again")
    parser.add_argument("--output", type=Path, default=Path("artifacts"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--dir", type=Path, default=Path(".testbed/bench"), help="for the nodes; default: %(default)s")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if arguments.render is not None:
        render.write(json.loads(arguments.render.read_text()), arguments.output)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = arguments.parts or [*PARTS]
    directory = arguments.dir.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error(f"another benchmark works in {directory}; wait for it, or give another --dir")
        run = _run(directory, names, quick=arguments.quick, output=arguments.output)
    print(render.markdown(run))
    print(f"{arguments.output}/bench.md has this table, bench.html the plots, bench.json every number")
    return 1 if run["failures"] else 0


def _run(directory: Path, names: list[str], *, quick: bool, output: Path) -> dict[str, Any]:
    """Measure the parts one after the other; what there is is written after each."""
    session = Session(directory, QUICK if quick else FULL)
    for description in [*directory.rglob("cluster.json")]:  # of a run that was killed
        LocalCluster(description.parent).down(purge=True)
    began = time.monotonic()
    peers.install(session.say)
    run: dict[str, Any] = {
        "format": FORMAT,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "parts": names,
        "machine": machine(directory),
        "versions": versions(),
        "failures": {},
        "records": session.records,
    }
    for name in names:
        session.say(f"== {name}")
        part_directory = directory / name
        shutil.rmtree(part_directory, ignore_errors=True)
        part_directory.mkdir()
        session.directory = part_directory
        try:
            PARTS[name](session)
        except MissingError as error:
            session.note(name, "all", str(error))
        except (BenchmarkError, RaftError, psutil.Error, OSError) as error:
            run["failures"][name] = str(error)
            session.say(f"{name} failed: {error}")
        else:
            shutil.rmtree(part_directory, ignore_errors=True)
        run["machine"]["load_after"] = os.getloadavg()[0]
        run["seconds"] = round(time.monotonic() - began, 1)
        render.write(run, output)
    return run


if __name__ == "__main__":
    sys.exit(main())
