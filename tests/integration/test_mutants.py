"""Local nodes with a mutant loaded (tests/mutants/_raftctl.py): they run, and identify themselves as broken."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raft_testbed.events import read_events

MUTANTS = Path(__file__).parents[1] / "mutants"


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, command: str, *arguments: str) -> Any:
        """What `raftctl cluster COMMAND --json` prints, with the mutant `applied_again`."""
        raftctl = [sys.executable, str(MUTANTS / "_raftctl.py"), str(MUTANTS / "applied_again.py")]
        done = subprocess.run(
            [*raftctl, "cluster", command, *arguments, "--dir", str(self.directory), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "local")
    yield cluster
    cluster.run("down", "--purge")


def test_a_broken_node_names_its_mutant_in_its_log_and_its_version(cluster: Cluster) -> None:
    cluster.run("up", "--nodes", "1")
    lines = (cluster.directory / "raft-0" / "stdout.log").read_text().splitlines()
    events = {event["event"]: event for event in read_events(lines)}
    assert events["mutant_loaded"]["mutant"] == "applied_again"
    assert events["mutant_loaded"]["description"]
    assert events["node_started"]["version"].endswith("+mutant.applied_again")
