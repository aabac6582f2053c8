"""RaftClient: operations without an event loop, from several threads at once."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from raft_pkg.client import OperationFailedError, RaftClient


def test_all_operations(endpoints):
    with RaftClient(endpoints) as client:
        index = client.put("sync", "a")
        assert index > 0
        assert client.get("sync") == b"a"
        assert client.append("sync", b"b") == 2
        assert not client.compare_and_set("sync", "a", "c")
        assert client.compare_and_set("sync", "ab", "c")
        assert client.compare_and_set("sync", "ab", "d").current == b"c"
        assert client.delete("sync") is True
        assert client.delete("sync") is False
        assert client.get("sync") is None
        assert client.status().leader_id is not None


def test_threads_share_a_client(endpoints):
    with RaftClient(endpoints) as client, ThreadPoolExecutor(16) as threads:
        lengths = list(threads.map(lambda i: client.append("shared", f"{i:03d}"), range(200)))
        assert sorted(lengths) == [3 * (i + 1) for i in range(200)]
        value = client.get("shared")
    assert sorted(value[i : i + 3] for i in range(0, 600, 3)) == [f"{i:03d}".encode() for i in range(200)]


def test_a_closed_client_rejects_operations_and_leaves_no_thread(endpoints):
    client = RaftClient(endpoints)
    client.put("closing", "a")
    client.close()
    client.close()
    with pytest.raises(OperationFailedError, match="closed"):
        client.get("closing")
    assert not [thread for thread in threading.enumerate() if thread.name == "raft-client"]


def test_a_program_that_does_not_close_its_client_still_ends(endpoints):
    program = f"from raft_pkg.client import RaftClient; print(RaftClient({endpoints!r}).put('forgotten', 'x') > 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
