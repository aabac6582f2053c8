"""`raftctl`, whose nodes have a mutant loaded: `python _raftctl.py MUTANT.py ARGUMENT …`.

The testbed runs this program in place of raftctl (roles/mutant): locally, and as the entry point of a separate image.
See docs/reference/faults.md. raft_pkg has no such option; a broken node identifies itself in log and version.
"""

import ast
import sys
from pathlib import Path

import raft_pkg
from raft_testbed.mutation import load_mutant, rewrite


def main() -> None:
    mutant, *arguments = sys.argv[1:]
    path = Path(mutant).absolute()
    if arguments[0] == "cluster":
        load_in_children(path)
    elif arguments[0] == "serve":
        load(path)
    from raft_pkg.cli import main as raftctl

    raftctl(arguments)


def load_in_children(path: Path) -> None:
    """Make `raftctl cluster` start its nodes, which are child processes, through this program."""
    from raft_pkg.local import cluster

    if not hasattr(cluster, "_RAFTCTL"):
        raise SystemExit("raft_pkg.local.cluster has no _RAFTCTL: the command that starts nodes has another name")
    cluster._RAFTCTL = (sys.executable, str(Path(__file__).absolute()), str(path))


def load(path: Path) -> None:
    """Load the mutant into this process, and make the node report it."""
    breaks = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    raft_pkg.__version__ += f"+mutant.{path.stem}"
    load_mutant(path)
    from raft_pkg.server import process

    emit = f"log.emit(Event.MUTANT_LOADED, mutant={path.stem!r}, description={breaks!r})"
    rewrite(process._serve, "storage = FileStorage(...)", f"{emit}\nstorage = FileStorage(...)")
    print(f"raftctl: broken on purpose ({path.stem}): {breaks}", file=sys.stderr)


if __name__ == "__main__":
    main()
