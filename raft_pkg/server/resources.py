"""What a node takes of its machine: memory, open files, disk. Logged now and then, so that growth can be seen."""

import asyncio
from pathlib import Path

from prometheus_client import ProcessCollector

from raft_pkg.events import Event, EventLog

RESOURCES_SECONDS = 15.0
"""Time from one line to the next."""
_SECTOR_BYTES = 512
"""Unit of `st_blocks`, whatever the file system's own is."""


async def log_resources(log: EventLog, data_dir: Path) -> None:
    """Log what this process uses, at once and every `RESOURCES_SECONDS`; ends when it is cancelled."""
    collector = ProcessCollector(registry=None)
    while True:
        used = {metric.name: int(metric.samples[0].value) for metric in collector.collect()}
        log.emit(
            Event.RESOURCES_USED,
            resident_bytes=used.get("process_resident_memory_bytes"),
            open_files=used.get("process_open_fds"),
            data_bytes=bytes_on_disk(data_dir),
        )
        await asyncio.sleep(RESOURCES_SECONDS)


def bytes_on_disk(directory: Path) -> int:
    """What the files of a directory take; those that go meanwhile do not count."""
    total = 0
    for path in directory.iterdir():
        try:
            total += path.stat().st_blocks * _SECTOR_BYTES
        except FileNotFoundError:
            continue
    return total
