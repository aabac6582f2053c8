"""Places where faults happen: this machine, or a kind node; and how an undoing is armed there before anything breaks.

An armed undoing is a script NAME.undo at the place, and a detached process there that runs it after a time, also when
nobody is left who could. Whoever renames the script first runs it: the process, heal(), or the sweep of a later run.
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

COMMAND_SECONDS_MAX = 60.0
HEAL_SECONDS_MAX = 600.0
"""An undoing may be a roll-out, node by node."""
ARM = """
mkdir -p {dir} && cat > {name}.new && mv {name}.new {name}.undo || exit 1
setsid sh -c 'sleep {seconds}; mv {name}.undo {name}.expired && sh {name}.expired > {name}.log 2>&1; rm -f {name}.pid' \
  > /dev/null 2>&1 < /dev/null &
echo $! > {name}.pid
"""
HEAL = """
if mv {name}.undo {name}.healed 2> /dev/null; then
  [ ! -e {name}.pid ] || kill -- -"$(cat {name}.pid)" 2> /dev/null
  how=healed
elif [ -e {name}.expired ]; then
  how=expired
else
  echo nothing; exit 0
fi
sh {name}.$how > {name}.log 2>&1 || {{ echo "undoing failed: $(tail -n 3 {name}.log)" >&2; exit 1; }}
rm -f {name}.healed {name}.expired {name}.pid {name}.log
echo $how
"""
LEFTOVERS = """cd {dir} 2> /dev/null || exit 0
for file in *.undo *.expired *.healed; do [ ! -e "$file" ] || echo "${{file%.*}}"; done"""


class ShellError(Exception):
    """A command failed. The message has its words."""


def run(argv: list[str], *, stdin: bytes = b"", seconds: float = COMMAND_SECONDS_MAX) -> bytes:
    """What a command prints. Raises `ShellError` when it fails, or takes longer."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=seconds, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ShellError(f"{shlex.join(argv)[:300]}: {error}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ShellError(f"{shlex.join(argv)[:300]}: exit status {done.returncode}: {words[-1000:]}")
    return done.stdout


@dataclass(frozen=True)
class Place:
    """Somewhere a shell can be run: `prefix` leads there."""

    name: str
    directory: str
    """For armed undoings."""
    prefix: tuple[str, ...] = ()

    def run(self, script: str, *, stdin: bytes = b"", seconds: float = COMMAND_SECONDS_MAX) -> str:
        """What a script prints. Raises `ShellError` when it fails."""
        return run([*self.prefix, "sh", "-c", script], stdin=stdin, seconds=seconds).decode(errors="replace").strip()

    def read(self, path: str) -> bytes:
        """A file's content."""
        return run([*self.prefix, "cat", path])

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Change bytes of a file in place, and sync it."""
        self.run(f"dd of={shlex.quote(path)} bs=1 seek={offset} conv=notrunc,fsync status=none", stdin=content)

    def arm(self, name: str, undo: str, seconds: float) -> None:
        """Have `undo` run here after so many seconds, unless it is healed before. It must bear being run twice."""
        self.run(ARM.format(dir=self.directory, name=self._file(name), seconds=seconds), stdin=undo.encode())

    def heal(self, name: str) -> str:
        """Undo now; returns healed, expired (it was undone before, and is made sure of), or nothing."""
        return self.run(HEAL.format(name=self._file(name)), seconds=HEAL_SECONDS_MAX)

    def leftovers(self) -> list[str]:
        """What was armed here and not healed."""
        return sorted(set(self.run(LEFTOVERS.format(dir=self.directory)).split()))

    def _file(self, name: str) -> str:
        return f"{self.directory}/{name}"


def this_machine(state_dir: str) -> Place:
    return Place("this machine", str(Path(state_dir) / "faults"))


def kind_node(container: str) -> Place:
    # -i, since scripts and files come by stdin
    return Place(container, "/run/raft-testbed-faults", ("docker", "exec", "-i", container))
