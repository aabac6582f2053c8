"""`raftctl` with a bug planted into the nodes that it starts: `python _raftctl.py MUTANT.py ARGUMENT …`.

The testbed runs this in the place of raftctl (roles/mutant, docs/reference/faults.md): locally, and as the entry point of an image
that has a name of its own. Nothing in raft_pkg knows of it. A node says in its log what is wrong with it, and its
version does: whoever meets one can tell.
"""

import ast
import sys
from pathlib import Path

import raft_pkg
from raft_testbed.simulation.mutation import load_mutant, rewrite


def main() -> None:
    mutant, *arguments = sys.argv[1:]
    path = Path(mutant).absolute()
    if arguments[0] == "cluster":
        plant_in_children(path)
    elif arguments[0] == "serve":
        plant(path)
    from raft_pkg.cli import main as raftctl

    raftctl(arguments)


def plant_in_children(path: Path) -> None:
    """The nodes that `raftctl cluster` starts are processes of their own."""
    from raft_pkg.local import process

    launcher = str(Path(__file__).absolute())
    rewrite(process.launch, '"-m", "raft_pkg.cli", *arguments', f"{launcher!r}, {str(path)!r}, *arguments")


def plant(path: Path) -> None:
    """The node in this process has the bug, and says so."""
    breaks = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    raft_pkg.__version__ += f"+mutant.{path.stem}"
    load_mutant(path)
    from raft_pkg.server import process

    told = f"log.emit(Event.MUTANT_PLANTED, mutant={path.stem!r}, breaks={breaks!r})"
    rewrite(process._serve, "    storage = FileStorage(", f"    {told}\n    storage = FileStorage(")
    print(f"raftctl: broken on purpose ({path.stem}): {breaks}", file=sys.stderr)


if __name__ == "__main__":
    main()
