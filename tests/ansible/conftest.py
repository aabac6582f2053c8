"""A fixture that runs ansible-playbook."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Playbook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_playbook() -> Playbook:
    """Run a playbook of this working copy with the Python of the tests; the caller checks the exit status."""

    def run(playbook: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        here = str(Path(sys.executable).parent)
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", playbook, *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    return run
