"""Planting bugs: a mutant is a Python file outside the package that rewrites some of its code in this process alone.

The product never imports this module; `raftctl simulate --mutant FILE.py` does, in the processes that simulate, and
so does the program outside the package that starts broken nodes for the testbed (docs/reference/faults.md).
"""

import inspect
import runpy
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raft_pkg.errors import ConfigurationError

_rewritten: dict[Callable[..., Any], str] = {}
"""The source of functions that were rewritten: they can be rewritten once more."""


class MutantError(ConfigurationError):
    """A mutant can't be planted: correct the file that the message names."""


def load_mutant(path: Path) -> None:
    """Run a mutant's file. Raises `MutantError` when it is not there, or no longer fits the code that it changes."""
    try:
        runpy.run_path(str(path))
    except MutantError as error:
        raise MutantError(f"--mutant {path}: {error}") from None
    except (OSError, SyntaxError, ImportError, AttributeError) as error:
        raise MutantError(f"--mutant {path}: {error}") from error


def rewrite(function: Callable[..., Any], old: str, new: str) -> None:
    """Replace a piece of a function's source text, which must be in it exactly once.

    Give a property by its getter (`Class.name.fget`). Other modules must reach the function through its class or
    module, not by a name of their own.
    """
    source = _rewritten.get(function) or inspect.getsource(function)
    name = f"{function.__module__}.{function.__qualname__}"
    if source.count(old) != 1:
        raise MutantError(f"the text {old!r} is {source.count(old)} times in {name}, not once")
    module = sys.modules[function.__module__]
    namespace: dict[str, Any] = {}
    source = source.replace(old, new)
    code = compile(textwrap.dedent(source), f"<mutant of {name}>", "exec")
    exec(code, module.__dict__, namespace)  # noqa: S102 - what a mutant is for
    owner: Any = module
    for part in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part)
    mutant = namespace[function.__name__]
    mutant.__qualname__ = function.__qualname__
    _rewritten[mutant] = source
    setattr(owner, function.__name__, mutant)
