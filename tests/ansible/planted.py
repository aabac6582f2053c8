"""Plants bugs into real clusters, one after the other, and prints what found each: `python -m tests.ansible.planted`.

For each: everything of the one before is removed, site.yml deploys nodes that have the bug, chaos.yml runs the scenario
`planted`. The first are nodes that have none, and must pass. Exit status 1 when a bug is not found as it must be.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
FOUND_BY = {
    "cut_off_leader_answers_reads": "linearizability",
    "commit_by_minority": "linearizability",
    "vote_never_written": "votes",
    "log_end_lost_at_restart": "linearizability",
    "applied_again": "applied state",
}
"""The planted bugs, and the promise that each must be seen to break."""
NO_BUG = "none"
SETTINGS = {
    "chaos_scenario": "planted",
    # a bug may end nodes for good: there is nothing to wait for then
    "chaos_healthy_seconds_max": 60,
    "chaos_told_seconds_max": 5,
    # nodes without a bug are to be as slow as those with one
    "raft_election_timeout_ms_min": 1000,
    "raft_election_timeout_ms_max": 2000,
    "raft_heartbeat_interval_ms": 200,
}


class PlantedError(Exception):
    """A run that came to no verdict, or to another one than it must; the message is the evidence."""


@dataclass(frozen=True)
class Testbed:
    """Where the runs take place."""

    __test__ = False

    platform: str
    state_dir: Path
    artifacts_dir: Path

    def run(self, playbook: str, mutant: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook for nodes that have the bug."""
        settings: dict[str, Any] = {
            "testbed_platform": self.platform,
            "testbed_state_dir": str(self.state_dir),
            "teardown_state_dir": str(self.state_dir),
            "teardown_cluster": False,
            "chaos_artifacts_dir": str(self.artifacts_dir),
            "raft_mutant": "" if mutant == NO_BUG else mutant,
            **SETTINGS,
        }
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", playbook, "-e", json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def clear(self) -> None:
        """Remove what runs, and its data. Raises `PlantedError`."""
        _require(self.run("playbooks/teardown.yml", NO_BUG), 0)


@dataclass(frozen=True)
class Outcome:
    """What became of one bug."""

    mutant: str
    seconds: float
    """Until the verdict, from the beginning of chaos.yml."""
    verdict: str
    broken: dict[str, str]
    """Promises that were seen to be broken, and how."""
    run: Path

    def check(self) -> None:
        """Raises `PlantedError` when this is not what must have become of it."""
        if self.mutant == NO_BUG:
            as_it_must_be = self.verdict == "ok"
        else:
            as_it_must_be = self.verdict == "violation" and FOUND_BY[self.mutant] in self.broken
        if not as_it_must_be:
            raise PlantedError(f"{self.mutant}: {self.verdict}, {self.broken or 'no promise was broken'} ({self.run})")


def find(testbed: Testbed, mutant: str) -> Outcome:
    """Deploy nodes with that bug (or `NO_BUG`), and let chaos.yml judge them. Raises `PlantedError`."""
    testbed.clear()
    _require(testbed.run("site.yml", mutant), 0)
    began = time.monotonic()
    done = testbed.run("playbooks/chaos.yml", mutant)
    seconds = time.monotonic() - began
    run = max((testbed.artifacts_dir / "chaos").iterdir())
    if not (run / "verdict.json").exists():
        raise PlantedError(f"{mutant}: no verdict\n{done.stdout[-3000:]}")
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    _require(done, 0 if verdict["verdict"] == "ok" else 2)
    if list(verdict["mutants"]) != ([] if mutant == NO_BUG else [mutant]):
        raise PlantedError(f"{mutant}: the report names {verdict['mutants'] or 'no bug'}")
    broken = {found["name"]: found["summary"] for found in verdict["findings"] if found["verdict"] == "violation"}
    return Outcome(mutant, seconds, verdict["verdict"], broken, run)


def _require(done: subprocess.CompletedProcess[str], status: int) -> None:
    if done.returncode != status:
        raise PlantedError(f"exit status {done.returncode} instead of {status}: {done.args}\n{done.stdout[-3000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ansible.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="bugs by name; none and all by default")
    parser.add_argument("--platform", default="local", choices=["local", "kind"])
    arguments = parser.parse_args()
    testbed = Testbed(arguments.platform, ROOT / ".testbed", ROOT / "artifacts")
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table("bug", "verdict", "after", "broken promise", "what was seen", box=None, pad_edge=False)
    failed = []
    for mutant in arguments.names or [NO_BUG, *FOUND_BY]:
        console.print(f"{mutant} on {testbed.platform} …", style="dim")
        try:
            outcome = find(testbed, mutant)
            for number, (name, how) in enumerate(outcome.broken.items() or [("", "")]):
                first = (mutant, outcome.verdict, f"{outcome.seconds:.0f} s") if number == 0 else ("", "", "")
                table.add_row(*first, name, how)
            outcome.check()
        except PlantedError as error:
            failed.append(str(error))
    testbed.clear()
    console.print(table)
    for failure in failed:
        console.print(failure, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
