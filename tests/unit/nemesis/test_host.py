"""Hosts and dead man's switches, with real processes on this machine."""

import time
from pathlib import Path

import psutil
import pytest

from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.host import Host

SECONDS_MAX = 30


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host("here", str(tmp_path / "faults"))


def test_a_switch_that_is_not_reverted_expires(host: Host, tmp_path: Path) -> None:
    host.arm("kill.raft-0", f"touch {tmp_path}/reverted", 0.1)
    deadline = time.monotonic() + SECONDS_MAX
    while not (tmp_path / "reverted").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert host.revert("kill.raft-0") == "expired"
    assert host.armed() == []


def test_revert_runs_the_script_once_and_ends_the_waiting_process(host: Host, tmp_path: Path) -> None:
    host.arm("kill.raft-0", f"echo x >> {tmp_path}/reverted", 3600)
    assert host.armed() == ["kill.raft-0"]
    waiting = psutil.Process(int((tmp_path / "faults" / "kill.raft-0.pid").read_text()))
    assert host.revert("kill.raft-0") == "reverted"
    assert (tmp_path / "reverted").read_text() == "x\n"
    assert host.armed() == []
    assert host.revert("kill.raft-0") == "nothing"
    deadline = time.monotonic() + SECONDS_MAX
    while waiting.is_running() and waiting.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_failing_revert_script_is_an_error_and_stays_armed(host: Host) -> None:
    host.arm("kill.raft-0", "echo why >&2; exit 1", 3600)
    with pytest.raises(CommandError, match="why"):
        host.revert("kill.raft-0")
    assert host.armed() == ["kill.raft-0"]


def test_a_command_error_has_the_exit_status_and_the_output(host: Host) -> None:
    with pytest.raises(CommandError, match="exit status 7: no space"):
        host.run("echo no space >&2; exit 7")


def test_bytes_of_a_file_are_overwritten_in_place(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"abcdef")
    host.write_at(str(file), 2, b"XY")
    assert host.read(str(file)) == b"abXYef"
