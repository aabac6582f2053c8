"""Node processes: started on their own, recognized later, and ended for certain."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from raft_pkg.local.description import ClusterUnavailableError, NodeDescription

STOP_TIMEOUT_SECONDS = 10.0
KILL_TIMEOUT_SECONDS = 5.0
# psutil derives the time from the clock, which may be set between two readings.
CREATED_TOLERANCE_SECONDS = 2.0


def find(node: NodeDescription) -> psutil.Process | None:
    """The node's process if it lives; never another one that has got its number since."""
    if node.pid is None or node.process_created is None:
        return None
    try:
        process = psutil.Process(node.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        same_time = abs(process.create_time() - node.process_created) < CREATED_TOLERANCE_SECONDS
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return None
    return process if same_time and "serve" in command and node.id in command else None


def state(node: NodeDescription) -> str:
    """`running`, `paused` or `stopped`."""
    process = find(node)
    if process is None:
        return "stopped"
    try:
        return "paused" if process.status() == psutil.STATUS_STOPPED else "running"
    except psutil.NoSuchProcess:
        return "stopped"


def launch(node: NodeDescription, arguments: Sequence[str], stdout: Path, stderr: Path) -> "subprocess.Popen[bytes]":
    """Start `raftctl` with the arguments in a session of its own, so that it outlives this process and its terminal."""
    command = [sys.executable, "-m", "raft_pkg.cli", *arguments]
    with stdout.open("ab") as out, stderr.open("ab") as err:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    node.pid = process.pid
    node.process_created = psutil.Process(process.pid).create_time()
    return process


def send(node: NodeDescription, number: signal.Signals) -> bool:
    """Send a signal to the node's process; returns whether there was one."""
    process = find(node)
    if process is None:
        return False
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def stop(nodes: Sequence[NodeDescription]) -> list[str]:
    """End the processes of all nodes, politely first; returns the ids of those that lived."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    for node in nodes:
        send(node, signal.SIGTERM)
        send(node, signal.SIGCONT)  # a paused process takes no other signal
    _end(_still_running(list(processes.values()), STOP_TIMEOUT_SECONDS))
    return list(processes)


def kill(nodes: Sequence[NodeDescription]) -> list[str]:
    """kill -9 the processes of all nodes; returns the ids of those that lived."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    _end(list(processes.values()))
    return list(processes)


def wait_for_state(node: NodeDescription, wanted: str) -> None:
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while (seen := state(node)) != wanted:
        if time.monotonic() > deadline:
            raise ClusterUnavailableError(f"{node.id} (process {node.pid}) is {seen}, not {wanted}")
        time.sleep(0.01)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    alive = _still_running(processes, KILL_TIMEOUT_SECONDS)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise ClusterUnavailableError(f"processes {numbers} live on after SIGKILL, in an uninterruptible wait")


def _still_running(processes: Sequence[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Those that have not ended within `timeout` seconds. A zombie has: it waits for whoever inherited it."""
    deadline = time.monotonic() + timeout
    while running := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
