"""Hosts that faults act on, and the dead man's switch that reverts a fault if the run does not.

An armed switch is a script `NAME.revert` on the host, and a detached process there that runs the script after a time.
The first process to rename the script runs it: the detached one, `Host.revert`, or the clean-up of a later run. So a
fault ends even if the program that injected it was interrupted.
"""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from raft_testbed.nemesis.errors import CommandError

COMMAND_SECONDS_MAX = 60.0
REVERT_SECONDS_MAX = 600.0
"""A revert script may wait for a rolling update."""
_ARM = """
mkdir -p {dir} && cat > {name}.new && mv {name}.new {name}.revert || exit 1
setsid sh -c '
  sleep {seconds}
  mv {name}.revert {name}.expired && sh {name}.expired > {name}.log 2>&1
  rm -f {name}.pid
' > /dev/null 2>&1 < /dev/null &
echo $! > {name}.pid
"""
_REVERT = """
if mv {name}.revert {name}.reverted 2> /dev/null; then
  [ ! -e {name}.pid ] || kill -- -"$(cat {name}.pid)" 2> /dev/null
  how=reverted
elif [ -e {name}.expired ]; then
  how=expired
else
  echo nothing; exit 0
fi
sh {name}.$how > {name}.log 2>&1 || {{ echo "the revert script failed: $(tail -n 3 {name}.log)" >&2; exit 1; }}
rm -f {name}.reverted {name}.expired {name}.pid {name}.log
echo $how
"""
_ARMED = """cd {dir} 2> /dev/null || exit 0
for file in *.revert *.expired *.reverted; do [ ! -e "$file" ] || echo "${{file%.*}}"; done"""


def run_command(argv: list[str], *, stdin: bytes = b"", seconds_max: float = COMMAND_SECONDS_MAX) -> bytes:
    """Run a command and return its standard output. Raise `CommandError` if it fails or takes longer."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=seconds_max, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{shlex.join(argv)[:300]}: {error}") from None
    if done.returncode:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise CommandError(f"{shlex.join(argv)[:300]}: exit status {done.returncode}: {output[-1000:]}")
    return done.stdout


@dataclass(frozen=True)
class Host:
    """A machine or container with a shell."""

    name: str
    directory: str
    """Directory for the scripts of armed switches."""
    prefix: tuple[str, ...] = ()
    """Command that runs its arguments on the host; empty: this machine."""

    def run(self, script: str, *, stdin: bytes = b"", seconds_max: float = COMMAND_SECONDS_MAX) -> str:
        """Run a shell script and return its stripped standard output. Raise `CommandError` if it fails."""
        output = run_command([*self.prefix, "sh", "-c", script], stdin=stdin, seconds_max=seconds_max)
        return output.decode(errors="replace").strip()

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        return run_command([*self.prefix, "cat", path])

    def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Overwrite bytes of a file in place and sync it."""
        self.run(f"dd of={shlex.quote(path)} bs=1 seek={offset} conv=notrunc,fsync status=none", stdin=content)

    def arm(self, name: str, revert_script: str, seconds: float) -> None:
        """Arm a dead man's switch: run `revert_script` here after `seconds`, unless `revert` does so earlier.

        The script must be idempotent: after an expiry, `revert` runs it again.
        """
        self.run(_ARM.format(dir=self.directory, name=self._file(name), seconds=seconds), stdin=revert_script.encode())

    def revert(self, name: str) -> str:
        """Run the revert script of a switch now and disarm it.

        Return `reverted`, `expired` (the switch had run the script before), or `nothing` (no such switch).
        Raise `CommandError` if the script fails; the switch then stays armed.
        """
        return self.run(_REVERT.format(name=self._file(name)), seconds_max=REVERT_SECONDS_MAX)

    def armed(self) -> list[str]:
        """Return the names of the switches that were armed here and not reverted."""
        return sorted(set(self.run(_ARMED.format(dir=self.directory)).split()))

    def _file(self, name: str) -> str:
        return f"{self.directory}/{name}"


def this_machine(state_dir: str) -> Host:
    """Return this machine as a host. `state_dir` is the testbed's state directory."""
    return Host("this machine", str(Path(state_dir) / "faults"))
