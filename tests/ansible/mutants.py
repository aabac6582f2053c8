"""Run the testbed against mutants in real clusters and print what detects each: `python -m tests.ansible.mutants`.

For each mutant: remove the previous deployment, deploy broken nodes with site.yml, run the scenario `mutants` with
chaos.yml. The first run deploys unchanged nodes, which must pass.
Exit status 1 if a mutant is not detected as expected.
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
DETECTED_BY = {
    "isolated_leader_serves_reads": "linearizability",
    "commit_by_minority": "linearizability",
    "vote_never_written": "votes",
    "log_tail_lost_at_restart": "linearizability",
    "applied_again": "state machine safety",
}
"""The check that must detect each mutant."""
NO_MUTANT = "none"
VARIABLES = {
    "chaos_scenario": "mutants",
    # a mutant may end nodes for good: waiting longer changes nothing
    "chaos_healthy_seconds_max": 60,
    "chaos_state_hash_seconds_max": 5,
    # unchanged nodes get the time-outs of broken ones
    "raft_election_timeout_ms_min": 1000,
    "raft_election_timeout_ms_max": 2000,
    "raft_heartbeat_interval_ms": 200,
}


class MutantRunError(Exception):
    """A run reached no verdict, or not the expected one; the message has the evidence."""


@dataclass(frozen=True)
class Testbed:
    """Platform and directories of the runs."""

    __test__ = False

    platform: str
    state_dir: Path
    artifacts_dir: Path

    def run(self, playbook: str, mutant: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook with this mutant, or `NO_MUTANT`."""
        variables: dict[str, Any] = {
            "testbed_platform": self.platform,
            "testbed_state_dir": str(self.state_dir),
            "teardown_state_dir": str(self.state_dir),
            "teardown_cluster": False,
            "chaos_artifacts_dir": str(self.artifacts_dir),
            "raft_mutant": "" if mutant == NO_MUTANT else mutant,
            **VARIABLES,
        }
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", playbook, "-e", json.dumps(variables)],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def clear(self) -> None:
        """Remove nodes and data. Raise `MutantRunError`."""
        _require(self.run("playbooks/teardown.yml", NO_MUTANT), 0)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one mutant's run."""

    mutant: str
    seconds: float
    """From the start of chaos.yml to the verdict."""
    verdict: str
    violations: dict[str, str]
    """Summary of each violation, by the name of the check."""
    run: Path

    def check(self) -> None:
        """Raise `MutantRunError` unless the expected check failed, or none for unchanged nodes."""
        if self.mutant == NO_MUTANT:
            expected = self.verdict == "ok"
        else:
            expected = self.verdict == "violation" and DETECTED_BY[self.mutant] in self.violations
        if not expected:
            raise MutantRunError(f"{self.mutant}: {self.verdict}, {self.violations or 'no violation'} ({self.run})")


def judge(testbed: Testbed, mutant: str) -> Outcome:
    """Deploy nodes with this mutant (or `NO_MUTANT`) and let chaos.yml judge them. Raise `MutantRunError`."""
    testbed.clear()
    _require(testbed.run("site.yml", mutant), 0)
    began = time.monotonic()
    done = testbed.run("playbooks/chaos.yml", mutant)
    seconds = time.monotonic() - began
    run = max((testbed.artifacts_dir / "chaos").iterdir())
    if not (run / "verdict.json").exists():
        raise MutantRunError(f"{mutant}: no verdict\n{done.stdout[-3000:]}")
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    _require(done, 0 if verdict["verdict"] == "ok" else 2)
    if list(verdict["mutants"]) != ([] if mutant == NO_MUTANT else [mutant]):
        raise MutantRunError(f"{mutant}: the report names {verdict['mutants'] or 'no mutant'}")
    violations = {found["name"]: found["summary"] for found in verdict["findings"] if found["verdict"] == "violation"}
    return Outcome(mutant, seconds, verdict["verdict"], violations, run)


def _require(done: subprocess.CompletedProcess[str], status: int) -> None:
    if done.returncode != status:
        raise MutantRunError(f"exit status {done.returncode} instead of {status}: {done.args}\n{done.stdout[-3000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ansible.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of mutants (default: none, and all)")
    parser.add_argument("--platform", default="local", choices=["local", "kind"])
    arguments = parser.parse_args()
    testbed = Testbed(arguments.platform, ROOT / ".testbed", ROOT / "artifacts")
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table("mutant", "verdict", "after", "violated", "evidence", box=None, pad_edge=False)
    failed = []
    for mutant in arguments.names or [NO_MUTANT, *DETECTED_BY]:
        console.print(f"{mutant} on {testbed.platform} …", style="dim")
        try:
            outcome = judge(testbed, mutant)
            for number, (name, evidence) in enumerate(outcome.violations.items() or [("", "")]):
                first = (mutant, outcome.verdict, f"{outcome.seconds:.0f} s") if number == 0 else ("", "", "")
                table.add_row(*first, name, evidence)
            outcome.check()
        except MutantRunError as error:
            failed.append(str(error))
    testbed.clear()
    console.print(table)
    for failure in failed:
        console.print(failure, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
