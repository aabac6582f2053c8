"""Run a range of seeds in several processes, in chunks; results come as they are done.

The result of a range depends only on the seeds, the options and the code.
"""

import hashlib
import multiprocessing
import os
import shlex
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from raft_testbed.mutation import load_mutant
from raft_testbed.simulation.cluster import Result, run
from raft_testbed.simulation.parameters import Options

SEEDS_PER_CHUNK = 10
CHUNKS_AHEAD_PER_JOB = 2


@dataclass(frozen=True, slots=True)
class Job:
    """A range of seeds to run, and how."""

    first: int
    stop: int
    options: Options
    mutant: Path | None = None
    keep_going: bool = True
    """Whether to run more seeds after one that failed; chunks that are under way end in any case."""
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def seeds(self) -> range:
        """All seeds of the job."""
        return range(self.first, self.stop)


@dataclass(slots=True)
class Totals:
    """The totals of all runs so far."""

    seeds: int = 0
    steps: int = 0
    simulated_seconds: float = 0.0
    operations: int = 0
    leaders: int = 0
    committed: int = 0
    faults: int = 0
    undecided: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Add the result of one run."""
        self.seeds += 1
        self.steps += result.steps
        self.simulated_seconds += result.simulated_seconds
        self.operations += result.succeeded
        self.leaders += result.leaders
        self.committed += result.committed
        self.faults += result.faults
        self.undecided += result.undecided
        self.counts.update(result.counts)
        self.hashes[result.seed] = result.trace_hash
        if result.failure is not None:
            self.failures.append(result)

    def trace_hash(self) -> str:
        """Return one hash of all runs."""
        text = " ".join(f"{seed}:{self.hashes[seed]}" for seed in sorted(self.hashes))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def simulate(job: Job) -> Generator[Result, None, None]:
    """Run all seeds and yield the results in any order. Closing the generator ends the processes."""
    if job.processes == 1 and job.mutant is None:
        for seed in job.seeds:
            yield run(seed, job.options)
        return
    # A mutant changes the code of its process, so it is never loaded into this one.
    pool = ProcessPoolExecutor(job.processes, multiprocessing.get_context("spawn"))
    try:
        yield from _run_chunks(pool, job)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def replay_command(seed: int, options: Options, mutant: Path | None) -> str:
    """Return the command that runs one seed again."""
    words = ["raftctl", "simulate", "--seeds", f"{seed}:{seed + 1}", "--nodes", str(options.nodes)]
    if options.faults_kept is not None:
        words += ["--faults", ",".join(map(str, options.faults_kept)) or "none"]
    if mutant is not None:
        words += ["--mutant", str(mutant)]
    return shlex.join(words)


def _run_chunks(pool: ProcessPoolExecutor, job: Job) -> Iterator[Result]:
    chunks = (
        range(first, min(first + SEEDS_PER_CHUNK, job.stop)) for first in range(job.first, job.stop, SEEDS_PER_CHUNK)
    )
    under_way: set[Future[list[Result]]] = set()
    for chunk in chunks:
        under_way.add(pool.submit(_run_chunk, chunk, job))
        if len(under_way) >= job.processes * CHUNKS_AHEAD_PER_JOB:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    for future in under_way:
        yield from future.result()


_loaded: set[Path] = set()
"""Mutants that this process has loaded."""


def _run_chunk(seeds: Sequence[int], job: Job) -> list[Result]:
    if job.mutant is not None and job.mutant not in _loaded:
        load_mutant(job.mutant)
        _loaded.add(job.mutant)
    results: list[Result] = []
    for seed in seeds:
        results.append(run(seed, job.options))
        if results[-1].failure is not None and not job.keep_going:
            break
    return results
