"""Node processes: started on their own, recognized later, and ended for certain.

A node of another system may be several processes: they make up one group, whose first one is the node's process.
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
        return process if same_time and _is_node(process, node.id) else None
    except psutil.NoSuchProcess:
        return None


def _is_node(process: psutil.Process, node_id: str) -> bool:
    """Whether it was started as that node: it shows in its arguments, or, of another system, in its environment."""
    command = process.cmdline()
    if "serve" in command and node_id in command:
        return True
    try:
        return process.environ().get("RAFT_ID") == node_id
    except psutil.AccessDenied:
        return False


def state(node: NodeDescription) -> str:
    """`running`, `paused` or `stopped`."""
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
    """Start a node in a session of its own, so that it outlives this process and its terminal.

    Raises ConfigurationError when there is no such program.
    """
    with stdout.open("ab") as out, stderr.open("ab") as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program, or the one that the user names
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
    """Send a signal to all processes of the node; returns whether there was one."""
    process = find(node)
    return process is not None and _send_to_group(process, number)


def _send_to_group(process: psutil.Process, number: signal.Signals) -> bool:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def stop(nodes: Sequence[NodeDescription]) -> list[str]:
    """End the processes of all nodes, politely first; returns the ids of those that lived."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    others = _others(list(processes.values()))
    for process in processes.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()  # it ends its others itself
        _send_to_group(process, signal.SIGCONT)  # a paused process takes no other signal
    _end([*_still_running(list(processes.values()), STOP_TIMEOUT_SECONDS), *others])
    return list(processes)


def _others(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """What else is in the groups of these, which are the first of theirs."""
    groups = {process.pid for process in processes}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if process.pid not in groups and os.getpgid(process.pid) in groups:
                found.append(process)
    return found


def kill(nodes: Sequence[NodeDescription]) -> list[str]:
    """kill -9 the processes of all nodes; returns the ids of those that lived."""
    processes = {node.id: process for node in nodes if (process := find(node)) is not None}
    _end([*processes.values(), *_others(list(processes.values()))])
    return list(processes)


def wait_for_state(node: NodeDescription, wanted: str) -> None:
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while (seen := state(node)) != wanted:
        if time.monotonic() > deadline:
            raise ClusterUnavailableError(f"{node.id} (process {node.pid}) is {seen}, not {wanted}")
        time.sleep(0.01)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
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
