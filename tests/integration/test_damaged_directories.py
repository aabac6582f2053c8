"""Damage to a data directory: `raftctl serve` and `raftctl log verify` report it, and change nothing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from raft_pkg.client import OutcomeUnknownError, RaftClient
from raft_pkg.storage import inspect_directory
from tests.integration.clusters import run_raftctl
from tests.support.servers import free_ports

WRITES = 70
VALUE_BYTES = 256 * 1024
"""Together more than one segment of the log."""
DISK_BYTES = 8 * 1024 * 1024


@dataclass
class Node:
    """The node of a single-node cluster, and its directory."""

    directory: Path
    address: str

    def command(self, node_id: str = "raft-0") -> list[str]:
        options = ["--id", node_id, "--listen", self.address, "--peers", f"{node_id}={self.address}"]
        kept = ["--snapshot-bytes", str(1 << 40)]  # keeps all writes in the log
        return [sys.executable, "-m", "raft_pkg.cli", "serve", *options, "--data-dir", str(self.directory), *kept]

    def serve(self, node_id: str = "raft-0", prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        """Start a node that must refuse to run; return its exit status and its output."""
        done = subprocess.run(
            [*prefix, *self.command(node_id)], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def verify(self) -> tuple[int, str]:
        done = run_raftctl("log", "verify", str(self.directory))
        return done.returncode, done.stdout + done.stderr

    def contents(self) -> dict[str, bytes]:
        """Return the content of all files but the lock, which names the newest process."""
        files = (path for path in self.directory.iterdir() if path.is_file() and path.name != "LOCK")
        return {path.name: path.read_bytes() for path in files}

    @property
    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.log"))

    def last_record(self) -> tuple[Path, int, int]:
        """Return file, offset and size of the newest record."""
        *_, record = inspect_directory(self.directory)
        return record.file, record.offset, record.size


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Yield the directory of a node that was killed after it had written two segments."""
    node = Node(tmp_path_factory.mktemp("written") / "raft-0", f"127.0.0.1:{free_ports(1)[0]}")
    process = node.start()
    with RaftClient([node.address], timeout=30) as client:
        for number in range(WRITES):
            client.put(f"key-{number}", bytes([number + 1]) * VALUE_BYTES)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(node.segments) == 2
    return node


@pytest.fixture
def node(written: Node, tmp_path: Path) -> Node:
    directory = tmp_path / "raft-0"
    shutil.copytree(written.directory, directory)
    return Node(directory, f"127.0.0.1:{free_ports(1)[0]}")


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def flip_in_the_middle(node: Node) -> str:
    flip(node.segments[0], 5_000_000)
    return "does not match its checksum"


def flip_in_the_newest(node: Node) -> str:
    path, offset, _ = node.last_record()
    flip(path, offset + 100)
    return "all of its sectors are present"


def lose_the_first_segment(node: Node) -> str:
    node.segments[0].unlink()
    return "the file is missing"


def lose_the_newest_segment(node: Node) -> str:
    node.segments[-1].unlink()
    return "the file is missing"


def empty_a_segment(node: Node) -> str:
    os.truncate(node.segments[0], 0)
    return "within its header"


def empty_the_node_file(node: Node) -> str:
    os.truncate(node.directory / "node.json", 0)
    return "not written by raft_pkg"


@pytest.mark.parametrize(
    "damage",
    [
        flip_in_the_middle,
        flip_in_the_newest,
        lose_the_first_segment,
        lose_the_newest_segment,
        empty_a_segment,
        empty_the_node_file,
    ],
)
def test_damage_is_reported_and_kept(node: Node, damage: Callable[[Node], str]) -> None:
    what = damage(node)
    before = node.contents()
    for status, output in (node.serve(), node.verify()):
        assert status == 2, output
        assert what in output
        assert str(node.directory) in output
        assert "Traceback" not in output
    assert node.contents() == before


def test_a_torn_tail_is_truncated_and_acknowledged_writes_remain(node: Node) -> None:
    path, offset, size = node.last_record()
    os.truncate(path, offset + size // 2)
    status, output = node.verify()
    assert status == 0, output
    assert f"{size // 2}" in output, "the size of the torn record"
    process = node.start()
    try:
        with RaftClient([node.address], timeout=30) as client:
            values = [client.get(f"key-{number}") for number in range(WRITES - 1)]
        assert values == [bytes([number + 1]) * VALUE_BYTES for number in range(WRITES - 1)]
    finally:
        process.terminate()
        process.communicate()


def test_a_directory_of_another_node(node: Node) -> None:
    before = node.contents()
    status, output = node.serve("raft-7")
    assert status == 2
    assert "belongs to node 'raft-0', not to 'raft-7'" in output
    assert node.contents() == before


def test_a_directory_without_permission(node: Node) -> None:
    node.segments[-1].chmod(0)
    # Root ignores permissions unless it drops the capability, as root in a container has to.
    as_others = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    status, output = node.serve(prefix=as_others)
    assert status == 2, output
    assert "Permission denied; let this process's user read and write" in output
    node.segments[-1].chmod(0o640)
    assert node.verify()[0] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system; return its directory."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(mounted)], check=True)
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def fill(node: Node) -> int:
    """Write until no write is acknowledged; return the number of acknowledged writes."""
    with RaftClient([node.address], timeout=3) as client:
        for number in range(WRITES):
            try:
                client.put(f"key-{number}", bytes([number + 1]) * VALUE_BYTES)
            except OutcomeUnknownError:
                return number
    raise AssertionError("the disk is too large for this test")


def test_a_full_disk_ends_the_node_and_no_acknowledged_write_is_lost(small_disk: Path) -> None:
    node = Node(small_disk / "raft-0", f"127.0.0.1:{free_ports(1)[0]}")
    process = node.start()
    acknowledged = fill(node)
    output, stderr = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "No space left on device; free space on its volume, then start the node again" in stderr
    assert '"storage_failed"' in output
    assert acknowledged > 10

    subprocess.run(["mount", "-o", f"remount,size={4 * DISK_BYTES}", str(small_disk)], check=True)
    assert node.verify()[0] == 0
    process = node.start()
    try:
        with RaftClient([node.address], timeout=30) as client:
            values = [client.get(f"key-{number}") for number in range(acknowledged)]
        assert values == [bytes([number + 1]) * VALUE_BYTES for number in range(acknowledged)]
    finally:
        process.terminate()
        process.communicate()
