"""`python -m tests.benchmarks`: run the benchmarks and write bench.json, bench.md and bench.html."""

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
from tests.benchmarks import packages, render
from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.parts import PARTS
from tests.benchmarks.session import FULL, QUICK, Session

FORMAT = 1


def main() -> int:
    """Return the exit status: 0 if every requested part was measured, 1 if not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="one short round, without meaningful results")
    parser.add_argument("--render", type=Path, metavar="FILE", help="write the reports of an earlier bench.json again")
    parser.add_argument("--output", type=Path, default=Path("artifacts"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--dir", type=Path, default=Path(".testbed/bench"), help="data directory; default: %(default)s")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"unknown part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
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
            parser.error(f"another benchmark uses {directory}; wait for it, or choose another --dir")
        run = _run(directory, names, quick=arguments.quick, output=arguments.output)
    print(render.markdown(run))
    print(f"{arguments.output}/bench.md has these tables, bench.html the plots, bench.json every measurement")
    return 1 if run["failures"] else 0


def _run(directory: Path, names: list[str], *, quick: bool, output: Path) -> dict[str, Any]:
    """Measure one part after the other, and write the results so far after each."""
    session = Session(directory, QUICK if quick else FULL)
    for description in [*directory.rglob("cluster.json")]:  # left by a killed run
        LocalCluster(description.parent).down(purge=True)
    began = time.monotonic()
    packages.install(session.log)
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
        session.log(f"== {name}")
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
            session.log(f"{name} failed: {error}")
        else:
            shutil.rmtree(part_directory, ignore_errors=True)
        run["machine"]["load_after"] = os.getloadavg()[0]
        run["seconds"] = round(time.monotonic() - began, 1)
        render.write(run, output)
    return run


if __name__ == "__main__":
    sys.exit(main())
