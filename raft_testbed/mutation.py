"""Mutants: files that change a few functions of the product in the running process, to prove that a check can fail.

A mutant names a function and the part of its syntax tree to replace, so that formatting, comments and docstrings of the
function do not matter. A mutant that no longer fits its function is an error.
`raftctl simulate --mutant FILE.py` loads mutants, and so does `tests/mutants/_raftctl.py`, which starts broken nodes.
"""

import ast
import copy
import inspect
import runpy
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from raft_pkg.errors import ConfigurationError

Function = ast.FunctionDef | ast.AsyncFunctionDef
Replacement = Callable[[list[ast.stmt]], None]

_mutated: dict[Callable[..., Any], Function] = {}
"""Syntax trees of functions that were rewritten: a function can be rewritten more than once."""


class MutantError(ConfigurationError):
    """A mutant cannot be loaded: the file is missing, or no longer fits the code that it changes."""


def load_mutant(path: Path) -> None:
    """Run a mutant's file. Raise `MutantError`, which names the file, if it is missing or does not fit the code."""
    try:
        runpy.run_path(str(path))
    except MutantError as error:
        raise MutantError(f"--mutant {path}: {error}") from None
    except (OSError, SyntaxError, ImportError, AttributeError) as error:
        raise MutantError(f"--mutant {path}: {error}") from error


def rewrite(function: Callable[..., Any], old: str, new: str) -> None:
    """Replace one part of a function.

    `old` is an expression, or one or more consecutive statements; it must occur exactly once in the function. `new`
    takes its place; an empty `new` removes statements. One `...` in `old` matches any expression; as the body of a
    compound statement, any body; as the only argument of a call, any arguments. A `...` in `new` stands for what it
    matched. Pass a property by its getter (`Class.name.fget`). Other modules must reach the function through its class
    or module.

    Raise `MutantError` unless `old` occurs exactly once.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    tree = copy.deepcopy(_mutated.get(function) or _parse_function(function))
    replaced = _replace(tree, _parse(old), _parse(new))
    if replaced != 1:
        raise MutantError(f"{old!r} occurs {replaced} times in {name}, expected once")
    module = sys.modules[function.__module__]
    namespace: dict[str, Any] = {}
    code = compile(ast.fix_missing_locations(ast.Module([tree], [])), f"<mutant of {name}>", "exec")
    exec(code, module.__dict__, namespace)  # noqa: S102 - what a mutant is for
    mutant: Any = namespace[function.__name__]
    mutated: Any = mutant.fget if isinstance(mutant, property) else mutant
    mutated.__qualname__ = function.__qualname__
    _mutated[mutated] = tree
    setattr(_owner(function, module), function.__name__, mutant)


def _owner(function: Callable[..., Any], module: ModuleType) -> Any:
    owner: Any = module
    for part in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part)
    return owner


def _parse_function(function: Callable[..., Any]) -> Function:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, Function):
        raise MutantError(f"{function.__module__}.{function.__qualname__} is not a function with source text")
    if ast.get_docstring(tree) is not None:
        tree.body[:1] = [] if len(tree.body) > 1 else [ast.Pass()]
    return tree


def _parse(fragment: str) -> list[ast.stmt]:
    try:
        return ast.parse(textwrap.dedent(fragment)).body
    except SyntaxError as error:
        raise MutantError(f"{fragment!r} is neither an expression nor statements: {error.msg}") from None


def _replace(tree: Function, old: list[ast.stmt], new: list[ast.stmt]) -> int:
    """Replace `old` in the tree if it occurs exactly once. Return the number of occurrences."""
    found = [*_statements(tree, old), *_expressions(tree, old)]
    if len(found) == 1:
        found[0](new)
    return len(found)


def _statements(tree: ast.AST, old: list[ast.stmt]) -> Iterator[Replacement]:
    """Yield, for each run of statements that matches `old`, the function that replaces it."""
    for node in ast.walk(tree):
        for name, block in ast.iter_fields(node):
            if name not in ("body", "orelse", "finalbody") or not isinstance(block, list):
                continue
            for start in range(len(block) - len(old) + 1):
                captured: list[Any] = []
                if old and _match(old, block[start : start + len(old)], captured):
                    yield _replace_statements(block, start, len(old), captured)


def _replace_statements(block: list[ast.stmt], start: int, count: int, captured: list[Any]) -> Replacement:
    def replace(new: list[ast.stmt]) -> None:
        block[start : start + count] = _Substitution(captured).visit(ast.Module(new, [])).body
        if not block:
            block.append(ast.Pass())

    return replace


def _expressions(tree: ast.AST, old: list[ast.stmt]) -> Iterator[Replacement]:
    """Yield, for each expression that matches `old`, the function that replaces it."""
    if len(old) != 1 or not isinstance(old[0], ast.Expr):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            continue  # a whole statement, which `_statements` finds
        for name, value in ast.iter_fields(node):
            for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                captured: list[Any] = []
                if isinstance(child, ast.expr) and _match(old[0].value, child, captured):
                    yield _replace_expression(node, name, position, captured)


def _replace_expression(node: ast.AST, name: str, position: int | None, captured: list[Any]) -> Replacement:
    def replace(new: list[ast.stmt]) -> None:
        if len(new) != 1 or not isinstance(new[0], ast.Expr):
            raise MutantError("an expression can only be replaced by an expression")
        value = _Substitution(captured).visit(new[0].value)
        if position is None:
            setattr(node, name, value)
        else:
            getattr(node, name)[position] = value

    return replace


def _is_ellipsis(node: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_any_body(statements: object) -> bool:
    match statements:
        case [ast.Expr(value=value)]:
            return _is_ellipsis(value)
    return False


def _takes_any_arguments(node: object) -> bool:
    match node:
        case ast.Call(args=[argument], keywords=[]):
            return _is_ellipsis(argument)
    return False


def _match(pattern: Any, found: Any, captured: list[Any]) -> bool:
    """Whether a tree equals a pattern, locations aside; appends what `...` matched to `captured`."""
    if _takes_any_arguments(pattern) and isinstance(found, ast.Call):
        captured.append((found.args, found.keywords))
        return _match(pattern.func, found.func, captured)
    if (_is_ellipsis(pattern) and isinstance(found, ast.expr)) or (_is_any_body(pattern) and isinstance(found, list)):
        captured.append(found)
        return True
    if isinstance(pattern, list):
        return len(pattern) == len(found) and all(
            _match(one, other, captured) for one, other in zip(pattern, found, strict=True)
        )
    if isinstance(pattern, ast.AST):
        return type(pattern) is type(found) and all(
            _match(getattr(pattern, field, None), getattr(found, field, None), captured) for field in pattern._fields
        )
    return type(pattern) is type(found) and bool(pattern == found)


class _Substitution(ast.NodeTransformer):
    """Puts what `...` matched in the place of each `...`."""

    def __init__(self, captured: list[Any]) -> None:
        self._captured = copy.deepcopy(captured[0]) if captured else None

    def visit_Expr(self, node: ast.Expr) -> Any:
        if _is_ellipsis(node.value) and isinstance(self._captured, list):
            return self._captured
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _takes_any_arguments(node) and isinstance(self._captured, tuple):
            node.args, node.keywords = self._captured
            node.func = self.visit(node.func)
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if _is_ellipsis(node) and isinstance(self._captured, ast.expr):
            return self._captured
        return node
