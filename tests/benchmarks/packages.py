"""Installation of the other systems and tools from Debian's packages, on Debian as root."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

PACKAGES = {"etcd": "etcd-server", "h2load": "nghttp2-client", "strace": "strace"}
INSTALL_SECONDS_MAX = 300
NO_SERVICES = Path("/usr/sbin/policy-rc.d")
"""Debian's policy for starting services at installation; etcd's service is not wanted."""


def install(log: Callable[[str], None]) -> None:
    """Install missing packages. If that is not possible, log the command; parts that need them are then skipped."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        log(f"not installed: {', '.join(missing)}. As root: {' '.join(command)}")
        return
    log(f"installing {', '.join(missing)}")
    own_policy = not NO_SERVICES.exists()
    if own_policy:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
        NO_SERVICES.chmod(0o755)
    try:
        for step in (["apt-get", "update"], command):
            done = subprocess.run(
                step,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
            if done.returncode:
                log(f"{' '.join(step)} failed: {done.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired:
        log(f"{' '.join(command)} did not finish within {INSTALL_SECONDS_MAX} s")
    finally:
        if own_policy:
            NO_SERVICES.unlink(missing_ok=True)
