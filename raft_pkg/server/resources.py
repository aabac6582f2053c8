"""Log the node's use of memory, open files and disk periodically, so that leaks show."""

import asyncio
from pathlib import Path

from prometheus_client import ProcessCollector

from raft_pkg.events import Event, EventLog

RESOURCES_SECONDS = 15.0
"""Interval between two log lines, in seconds."""
_SECTOR_BYTES = 512
"""Unit of `st_blocks`, on every file system."""


async def log_resources(log: EventLog, data_dir: Path) -> None:
    """Log the resources of this process now and every `RESOURCES_SECONDS`, until cancelled."""
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
    """Return the disk usage of the files in a directory; files removed meanwhile do not count."""
    total = 0
    for path in directory.iterdir():
        try:
            total += path.stat().st_blocks * _SECTOR_BYTES
        except FileNotFoundError:
            continue
    return total
