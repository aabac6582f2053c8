"""Filters over files' content."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def files_below(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [
        path
        for path in place.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not LEFT_OUT.intersection(path.parts)
    ]


def content_digest(names: list[str], root: str, *settings: Any) -> str:
    """Digest of files and directories below root, names and contents, and of settings; 16 hexadecimal digits.

    A name that is not there is an error: a digest that leaves out an input would miss its changes.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        files = files_below(Path(root) / name)
        if not files:
            raise FileNotFoundError(f"{Path(root) / name}: no such file or directory, or nothing in it")
        for path in sorted(files):
            digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    for setting in settings:
        digest.update(f"\0{setting}".encode())
    return digest.hexdigest()[:16]


def toml_dependencies(pyproject: str) -> list[str]:
    """Requirements that a pyproject.toml declares for running."""
    dependencies: list[str] = tomllib.loads(pyproject)["project"]["dependencies"]
    return dependencies


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"content_digest": content_digest, "toml_dependencies": toml_dependencies}
