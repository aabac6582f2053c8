"""Getting the systems that we compare with: Debian's packages, when this is Debian and we may."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

PACKAGES = {"etcd": "etcd-server", "h2load": "nghttp2-client", "strace": "strace"}
INSTALL_SECONDS_MAX = 300
NO_SERVICES = Path("/usr/sbin/policy-rc.d")
"""Debian asks it whether a package may start its service; etcd's would only be in the way."""


def install(say: Callable[[str], None]) -> None:
    """Install what is missing; where that can't be done, say how, and let the parts that need it be passed over."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"not installed: {', '.join(missing)}. As root: {' '.join(command)}")
        return
    say(f"installing {', '.join(missing)}")
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
                say(f"{' '.join(step)} failed: {done.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired:
        say(f"{' '.join(command)} did not end within {INSTALL_SECONDS_MAX} s")
    finally:
        if own_policy:
            NO_SERVICES.unlink(missing_ok=True)
