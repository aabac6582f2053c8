"""Commands that other packages add to raftctl, and raftctl without them, as in the server image."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import raft_pkg

TESTBED_COMMANDS = ("bench", "check", "proxy", "report", "simulate", "workload")

HIDE_TESTBED = """
import sys

class HideTestbed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "raft_testbed":
            raise ModuleNotFoundError(f"No module named {name!r}", name="raft_testbed")
        return None

sys.meta_path.insert(0, HideTestbed())
"""


@pytest.fixture
def without_testbed(tmp_path):
    """Return a function that runs raftctl in a process, with all its children, that cannot import raft_testbed."""
    (tmp_path / "raft_pkg").symlink_to(Path(raft_pkg.__file__).parent)
    (tmp_path / "sitecustomize.py").write_text(HIDE_TESTBED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAFT_")}
    environment["PYTHONPATH"] = str(tmp_path)

    def raftctl(*arguments, endpoints=None):
        return subprocess.run(
            [sys.executable, "-m", "raft_pkg.cli", *arguments],
            cwd=tmp_path,
            env=environment if endpoints is None else {**environment, "RAFT_ENDPOINTS": endpoints},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return raftctl


def listed_commands(help_text):
    return {line.split()[0] for line in help_text.splitlines() if line.startswith("  ") and line.split()}


def test_help_lists_the_commands_of_the_testbed():
    done = subprocess.run(
        [sys.executable, "-m", "raft_pkg.cli", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(TESTBED_COMMANDS) <= listed_commands(done.stdout)


def test_help_works_without_the_testbed(without_testbed):
    done = without_testbed("--help")
    assert (done.returncode, done.stderr) == (0, "")
    commands = listed_commands(done.stdout)
    assert {"serve", "put", "get", "cluster", "members"} <= commands
    assert commands.isdisjoint(TESTBED_COMMANDS)


@pytest.mark.parametrize("command", ["check", "proxy"])
def test_commands_of_the_testbed_are_wrong_usage_without_it(without_testbed, command):
    done = without_testbed(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"No such command '{command}'" in done.stderr


def test_a_local_cluster_has_no_proxy_without_the_testbed(without_testbed, tmp_path):
    done = without_testbed("cluster", "up", "--proxy", "--dir", "cluster")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no command 'proxy'" in done.stderr
    assert not (tmp_path / "cluster").exists()


def test_a_cluster_works_without_the_testbed(without_testbed):
    up = without_testbed("cluster", "up", "--nodes", "1", "--dir", "cluster", "--json")
    assert (up.returncode, up.stderr) == (0, "")
    try:
        endpoints = json.loads(up.stdout)["endpoints"]
        put = without_testbed("put", "key", "value", endpoints=endpoints)
        assert (put.returncode, put.stdout, put.stderr) == (0, "", "")
        get = without_testbed("get", "key", endpoints=endpoints)
        assert (get.returncode, get.stdout, get.stderr) == (0, "value\n", "")
    finally:
        down = without_testbed("cluster", "down", "--dir", "cluster", "--purge")
    assert down.returncode == 0


def test_a_defect_in_a_plugin_is_not_hidden(tmp_path):
    """Only a missing package is ignored, not a package that fails to import one of its own dependencies."""
    (tmp_path / "broken_plugin.py").write_text("import no_such_dependency\n")
    metadata = tmp_path / "broken_plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[raftctl.commands]\nbroken = broken_plugin:register\n")
    path = os.pathsep.join([str(tmp_path), str(Path(raft_pkg.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "raft_pkg.cli", "--help"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "no_such_dependency" in done.stderr
