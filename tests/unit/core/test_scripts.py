"""The scripts of `tests/scripts`: whole situations of a few cores, in a form that people can read.

After an intended change, `pytest tests/unit/core/test_scripts.py --rewrite` updates their output; review the diff
before you commit it.
"""

from pathlib import Path

import pytest

from tests.scripts.driver import play

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_output_of_script(path, pytestconfig):
    expected = path.read_text()
    played = play(expected)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(played)
    else:
        assert played == expected


def test_all_scripts_are_found():
    assert len(SCRIPTS) >= 10


def test_play_replaces_only_output_of_commands():
    script = "# A title\n\n> voters a\n  something else\n> state\n\nThe end.\n"
    assert play(script) == "# A title\n\n> voters a\n> state\n  a: follower in term 0, configuration a\n\nThe end.\n"
