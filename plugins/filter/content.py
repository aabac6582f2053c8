"""Filters over the content of files."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def files_below(path: Path) -> list[Path]:
    """Return the file itself, or all files below a directory except caches."""
    if path.is_file():
        return [path]
    return [
        found
        for found in path.rglob("*")
        if found.is_file() and found.suffix != ".pyc" and not CACHES.intersection(found.parts)
    ]


def content_digest(names: list[str], root: str, *settings: Any) -> str:
    """Return a digest of 16 hexadecimal digits over the names and contents of files below `root`, and over settings.

    Raise `FileNotFoundError` for a name without files: a digest without an input would miss its changes.
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
    """Return the dependencies that a pyproject.toml declares."""
    dependencies: list[str] = tomllib.loads(pyproject)["project"]["dependencies"]
    return dependencies


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"content_digest": content_digest, "toml_dependencies": toml_dependencies}
