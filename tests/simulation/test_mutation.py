"""Mutants: how they change a function, and that all of tests/mutants fit the code."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from raft_testbed.mutation import MutantError, load_mutant, rewrite

MUTANTS = Path(__file__).parents[1] / "mutants"

SOURCE = '''
class Counter:
    def __init__(self):
        self.total = 0

    @property
    def is_even(self):
        return self.total % 2 == 0

    def add(self, amount, limit=10):
        """Add an amount. total + amount"""
        if self.total + amount > limit:
            return False
        self.total += amount
        self.log("added", amount)
        return True

    def log(self, what, amount):
        self.last = what, amount

def double(number):
    return number + number
'''
REFORMATTED = """
class Counter:
    def __init__(self): self.total = 0

    @property
    def is_even(self):
        return (
            self.total %
            2
        ) == 0

    def add(self, amount, limit=10):
        # a comment
        if (self.total +
                amount) > limit:  # another one
            return False
        self.total += (
            amount
        )

        self.log('added',
                 amount)
        return True

    def log(self, what, amount):
        self.last = (what, amount)
def double(number): return (number + number)
"""


@pytest.fixture(params=[SOURCE, REFORMATTED], ids=["formatted", "reformatted"])
def product(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module to mutate, in two formats."""
    path = tmp_path / "product.py"
    path.write_text(request.param)
    spec = importlib.util.spec_from_file_location("product", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "product", module)
    spec.loader.exec_module(module)
    return module


def test_an_expression_is_replaced(product: ModuleType) -> None:
    rewrite(product.Counter.add, "self.total + amount > limit", "self.total > limit")
    counter = product.Counter()
    assert counter.add(20)
    assert not counter.add(1)


def test_statements_are_replaced_by_any_number_of_others(product: ModuleType) -> None:
    rewrite(
        product.Counter.add,
        """
        self.total += amount
        self.log("added", amount)
        """,
        """
        self.total -= amount
        self.log("subtracted", amount)
        self.log("again", amount)
        """,
    )
    counter = product.Counter()
    counter.add(3)
    assert (counter.total, counter.last) == (-3, ("again", 3))


def test_statements_are_removed(product: ModuleType) -> None:
    rewrite(product.Counter.__init__, "self.total = 0", "")
    assert not hasattr(product.Counter(), "total")


def test_an_ellipsis_keeps_a_body(product: ModuleType) -> None:
    rewrite(product.Counter.add, "if self.total + amount > limit:\n    ...", "if amount > 5:\n    ...")
    counter = product.Counter()
    assert counter.add(5)
    assert not counter.add(6)
    assert counter.add(5, limit=0)


def test_an_ellipsis_keeps_an_expression(product: ModuleType) -> None:
    rewrite(product.Counter.add, "... > limit", "... > limit + 1")
    assert product.Counter().add(11)


def test_an_ellipsis_keeps_all_arguments_of_a_call(product: ModuleType) -> None:
    rewrite(product.Counter.add, "self.log(...)", "self.log(...)\nself.total += 1")
    counter = product.Counter()
    counter.add(3)
    assert (counter.total, counter.last) == (4, ("added", 3))


def test_a_function_is_rewritten_twice(product: ModuleType) -> None:
    rewrite(product.Counter.add, "limit", "limit + 10")
    rewrite(product.Counter.add, "self.total += amount", "self.total += 2 * amount")
    counter = product.Counter()
    assert counter.add(20)
    assert counter.total == 40


def test_a_property_and_a_function_of_a_module_are_rewritten(product: ModuleType) -> None:
    rewrite(product.Counter.is_even.fget, "self.total % 2 == 0", "False")
    rewrite(product.double, "number + number", "0")
    assert not product.Counter().is_even
    assert product.double(2) == 0


@pytest.mark.parametrize(
    ("old", "times"),
    [
        ("self.total -= amount", 0),
        ("total + amount", 0),  # only in the docstring
        ("amount", 3),
        ("if self.total > limit:\n    ...", 0),
    ],
)
def test_code_that_does_not_occur_once_is_refused(product: ModuleType, old: str, times: int) -> None:
    with pytest.raises(MutantError, match=rf"occurs {times} times in product\.Counter\.add, expected once"):
        rewrite(product.Counter.add, old, "pass")
    assert product.Counter().add(1)


@pytest.mark.parametrize(("old", "new"), [("limit >", "limit"), ("limit", "x = 1"), ("limit", "")])
def test_a_replacement_of_another_kind_is_refused(product: ModuleType, old: str, new: str) -> None:
    with pytest.raises(MutantError):
        rewrite(product.Counter.add, old, new)


def test_a_stale_mutant_is_named_with_function_and_code(product: ModuleType, tmp_path: Path) -> None:
    mutant = tmp_path / "stale.py"
    mutant.write_text(
        "import product\nfrom raft_testbed.mutation import rewrite\n"
        "rewrite(product.Counter.add, 'self.total -= amount', '')\n"
    )
    with pytest.raises(MutantError) as refused:
        load_mutant(mutant)
    assert str(mutant) in str(refused.value)
    assert "'self.total -= amount' occurs 0 times in product.Counter.add" in str(refused.value)


@pytest.mark.parametrize("text", [None, "import no_such_module", "def", "import os; os.no_such_function"])
def test_a_file_that_cannot_be_run_is_no_mutant(tmp_path: Path, text: str | None) -> None:
    mutant = tmp_path / "broken.py"
    if text is not None:
        mutant.write_text(text)
    with pytest.raises(MutantError, match=str(mutant)):
        load_mutant(mutant)


LOAD_EACH = """
import os, sys
from pathlib import Path
import raft_testbed.simulation.cluster
from raft_testbed.mutation import MutantError, load_mutant
stale = []
for path in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            load_mutant(Path(path))
        except MutantError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        stale.append(path)
sys.exit(1 if stale else 0)
"""


def test_every_mutant_fits_the_code() -> None:
    """Each is loaded in a process of its own, which has the simulator imported already."""
    paths = sorted(str(path) for path in MUTANTS.glob("[a-z]*.py"))
    assert len(paths) >= 108
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EACH, *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
