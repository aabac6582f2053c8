"""The machine and the versions, without which the results are meaningless."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

from raft_pkg import __version__
from tests.benchmarks import processes
from tests.benchmarks.errors import BenchmarkError

PYTHON_PACKAGES = ("grpcio", "protobuf", "pysyncobj")


def machine(directory: Path) -> dict[str, Any]:
    """Return a description of the machine and of the data's file system."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    mounts = [p for p in psutil.disk_partitions(all=True) if directory.absolute().is_relative_to(p.mountpoint)]
    mount = max(mounts, key=lambda partition: len(partition.mountpoint), default=None)
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "file_system": mount.fstype if mount else "unknown",
        "load_before": os.getloadavg()[0],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of everything that is compared; None: not installed."""
    found: dict[str, str | None] = {"raft_pkg": _own_version(), "python": platform.python_version()}
    for name in PYTHON_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["etcd"] = _printed_version("etcd", "etcd Version: ")
    found["h2load"] = _printed_version("h2load", "h2load nghttp2/")
    return found


def _own_version() -> str:
    """Return raft_pkg's version, with the commit if there is one."""
    try:
        commit = processes.run(["git", "describe", "--always", "--dirty"], 10).strip()
    except (BenchmarkError, OSError):
        return __version__
    return f"{__version__} ({commit})"


def _printed_version(program: str, prefix: str) -> str | None:
    if shutil.which(program) is None:
        return None
    output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return output.splitlines()[0].removeprefix(prefix)
