"""Node processes: start them detached, find them again in a later process, and end them reliably.

A node of another system may consist of several processes. They form one process group, led by the node's process.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from raft_pkg.errors import ConfigurationError
from raft_pkg.local.description import ClusterUnavailableError, NodeDescription

STOP_TIMEOUT_SECONDS = 10.0
KILL_TIMEOUT_SECONDS = 5.0
CREATED_TOLERANCE_SECONDS = 2.0
"""Tolerance for creation times: psutil derives them from the wall clock, which may be adjusted between readings."""


def find(node: NodeDescription) -> psutil.Process | None:
    """Return the node's process, or None if it has ended; never a later process with the same process id."""
    if node.pid is None or node.process_created is None:
        return None
    try:
        process = psutil.Process(node.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        same_time = abs(process.create_time() - node.process_created) < CREATED_TOLERANCE_SECONDS
        return process if same_time and _is_node(process, node.id) else None
    except psutil.NoSuchProcess:
        return None


def _is_node(process: psutil.Process, node_id: str) -> bool:
    """Return whether the process was started as that node, judging by its arguments or its environment."""
    command = process.cmdline()
    if "serve" in command and node_id in command:
        return True
    try:
        return process.environ().get("RAFT_ID") == node_id
    except psutil.AccessDenied:
        return False


def state(node: NodeDescription) -> str:
    """Return `running`, `paused` or `stopped`."""
    process = find(node)
    if process is None:
        return "stopped"
    try:
        return "paused" if process.status() == psutil.STATUS_STOPPED else "running"
    except psutil.NoSuchProcess:
        return "stopped"


def launch(
    node: NodeDescription, command: Sequence[str], environment: Mapping[str, str], stdout: Path, stderr: Path
) -> "subprocess.Popen[bytes]":
    """Start a node in a new session, so that it outlives this process and its terminal; set its process id.

    Raise `ConfigurationError` if the program can't be started.
    """
    with stdout.open("ab") as out, stderr.open("ab") as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program, or the user's
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigurationError(f"{node.id} can't be started: {error}") from None
    node.pid = process.pid
    node.process_created = psutil.Process(process.pid).create_time()
    return process


def send(node: NodeDescription, number: signal.Signals) -> bool:
    """Send a signal to all processes of the node; return whether there was any."""
    process = find(node)
    return process is not None and _send_to_group(process, number)


def _send_to_group(process: psutil.Process, number: signal.Signals) -> bool:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def stop(nodes: Sequence[NodeDescription]) -> list[str]:
    """Stop nodes with SIGTERM, then with SIGKILL; return the ids of those that ran."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    members = _group_members(list(processes.values()))
    for process in processes.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()  # the leader is expected to stop its group
        _send_to_group(process, signal.SIGCONT)  # a paused process does not act on SIGTERM
    _end([*_still_running(list(processes.values()), STOP_TIMEOUT_SECONDS), *members])
    return list(processes)


def _group_members(leaders: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the other processes in the process groups of these leaders."""
    groups = {leader.pid for leader in leaders}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if process.pid not in groups and os.getpgid(process.pid) in groups:
                found.append(process)
    return found


def kill(nodes: Sequence[NodeDescription]) -> list[str]:
    """Send SIGKILL to all processes of the nodes; return the ids of the nodes that ran."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    _end([*processes.values(), *_group_members(list(processes.values()))])
    return list(processes)


def wait_for_state(node: NodeDescription, wanted: str) -> None:
    """Wait until `state` returns `wanted`. Raise `ClusterUnavailableError` if it does not in time."""
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while (current := state(node)) != wanted:
        if time.monotonic() > deadline:
            raise ClusterUnavailableError(f"{node.id} (process {node.pid}) is {current}, not {wanted}")
        time.sleep(0.01)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    alive = _still_running(processes, KILL_TIMEOUT_SECONDS)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise ClusterUnavailableError(f"processes {numbers} still run after SIGKILL, in uninterruptible sleep")


def _still_running(processes: Sequence[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Return the processes that have not ended within `timeout` seconds. A zombie has ended; its parent may reap it."""
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
