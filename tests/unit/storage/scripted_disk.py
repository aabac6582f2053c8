"""A simulated disk whose faults a test chooses, and which records every change and sync."""

from collections.abc import Callable
from pathlib import Path

from raft_testbed.simulation.disk import SECTOR_BYTES, SimulatedDisk, SimulatedFile


class ScriptedDisk(SimulatedDisk):
    """`operations` lists every change and sync as (operation, file name).

    `before` is called with an operation and its path, and may raise. `accept` returns how many bytes of a write are
    taken, `accept_reading` how many of the requested bytes a read returns. A killed process resets all three.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, str]] = []
        self._reset()

    @classmethod
    def holding(cls, files: dict[Path, bytes]) -> "ScriptedDisk":
        """Return a disk with these files, all of them synced."""
        disk = cls()
        for path, data in files.items():
            disk.names |= dict.fromkeys(path.parents)
            disk.names[path] = SimulatedFile(data)
        disk._synced_names = dict(disk.names)
        return disk

    def copy(self) -> dict[Path, bytes]:
        """Return the content of every file."""
        return {path: bytes(file.content) for path, file in self.files()}

    def kill_process(self) -> None:
        super().kill_process()
        self._reset()

    def cut_power(self, choose: Callable[[int], int]) -> None:
        """Lose power, and keep some of what is not synced. `choose(n)` returns a number below n."""
        self.lose_power(choose, lambda file: _lose_unsynced(file, choose))

    def begin(self, operation: str, path: Path) -> None:
        if operation == "list_directory":
            return
        self.before(operation, path)
        if operation not in ("read", "open", "close"):
            self.operations.append((operation, path.name))

    def write_size(self, size: int) -> int:
        return self.accept(size)

    def read_size(self, size: int) -> int:
        return self.accept_reading(size)

    def _reset(self) -> None:
        self.before: Callable[[str, Path], None] = lambda _operation, _path: None
        self.accept: Callable[[int], int] = lambda size: size
        self.accept_reading: Callable[[int], int] = lambda size: size


def _lose_unsynced(file: SimulatedFile, choose: Callable[[int], int]) -> None:
    """Keep what was synced, and of the rest a prefix or some sectors; the file's size is any that it may have had."""
    written, synced = bytes(file.content), bytes(file.synced)
    if written == synced:
        file.replace(synced)
    elif len(written) < len(synced):
        file.replace((written, synced)[choose(2)])
    else:
        before = synced.ljust(len(written), b"\0")
        if choose(3) == 0:
            used = len(synced.rstrip(b"\0"))
            cut = used + choose(len(written) - used + 1)
            left = written[:cut] + before[cut:]
        else:
            sectors = range(0, len(written), SECTOR_BYTES)
            left = b"".join((written, before)[choose(2)][start : start + SECTOR_BYTES] for start in sectors)
        size = len(synced) + choose(len(written) - len(synced) + 1) if choose(2) else len(written)
        file.replace(left[:size])
