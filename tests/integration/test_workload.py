"""`raftctl workload` on a real cluster: `raftctl check` reads its history."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.clusters import run_raftctl


def workload(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raft_pkg.cli", "workload", *arguments]


def test_the_history_is_linearizable(endpoints: str, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    options = ("--clients", "4", "--duration", "2", "--keys", "3", "--seed", "5", "--history", str(history))
    done = run_raftctl("workload", "--endpoints", endpoints, *options, "--stdout")
    assert done.returncode == 0, done.stderr
    assert done.stdout == history.read_text()
    finished = json.loads(done.stdout.splitlines()[-1])
    assert finished["final_reads"] is True
    judged = run_raftctl("check", str(history), "--json")
    assert judged.returncode == 0, judged.stdout
    content = json.loads(judged.stdout)
    assert content["outcomes"]["ok"] == finished["ok"]
    assert content["keys"] == 3


def test_a_signal_ends_the_workload(endpoints: str) -> None:
    """SIGUSR1 starts the final reads. SIGTERM ends the workload, and the last line gives the reason."""
    for number, status, final_reads in ((signal.SIGUSR1, 0, True), (signal.SIGTERM, 3, None)):
        command = workload("--endpoints", endpoints, "--duration", "0", "--rate", "100", "--clients", "2")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(20)]
            process.send_signal(number)
            lines += process.stdout.readlines()
        assert process.returncode == status
        finished = json.loads(lines[-1])
        assert finished["event"] == "workload_finished"
        assert finished["final_reads"] is final_reads
        assert finished["interrupted"] == ("SIGTERM" if number == signal.SIGTERM else None)
        judged = run_raftctl("check", "-", stdin="".join(lines).encode())
        assert judged.returncode == 0, judged.stdout


def test_an_unavailable_cluster_is_exit_status_3(tmp_path: Path) -> None:
    options = ("--duration", "0.5", "--timeout", "0.2", "--final-reads-limit", "0.5", "--clients", "2")
    done = run_raftctl("workload", "--endpoints", "127.0.0.1:1", *options)
    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[-1])["ok"] == 0
