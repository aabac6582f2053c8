"""On what, and with what, was measured: numbers mean nothing without it."""

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
    """The machine, and the file system that the data is on."""
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
    """Of everything that is compared; None: it is not installed."""
    found: dict[str, str | None] = {"raft_pkg": _own(), "python": platform.python_version()}
    for name in PYTHON_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["etcd"] = _told("etcd", "etcd Version: ")
    found["h2load"] = _told("h2load", "h2load nghttp2/")
    return found


def _own() -> str:
    """Ours, with the commit where there is one."""
    try:
        commit = processes.run(["git", "describe", "--always", "--dirty"], 10).strip()
    except (BenchmarkError, OSError):
        return __version__
    return f"{__version__} ({commit})"


def _told(program: str, before: str) -> str | None:
    if shutil.which(program) is None:
        return None
    told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return told.splitlines()[0].removeprefix(before)
