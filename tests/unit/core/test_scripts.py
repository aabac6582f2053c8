"""The scripts of `tests/scripts`: what the core does in whole situations, told so that a person can follow it.

After a change that is meant, `pytest tests/unit/core/test_scripts.py --rewrite` writes what happens now; read the
difference before you commit it.
"""

from pathlib import Path

import pytest

from tests.scripts.driver import play

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_happens_is_what_the_script_tells(path, pytestconfig):
    expected = path.read_text()
    told = play(expected)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(told)
    else:
        assert told == expected


def test_there_are_scripts():
    assert len(SCRIPTS) >= 10


def test_only_what_commands_lead_to_is_written_anew():
    script = "# A title\n\n> voters a\n  something else\n> state\n\nThe end.\n"
    assert play(script) == "# A title\n\n> voters a\n> state\n  a: follower in term 0, goes by a\n\nThe end.\n"
