"""Faults of the disk. A node is stopped while its files change and killed afterwards, so that it can't interfere."""

import shlex
import time
from itertools import pairwise
from pathlib import PurePosixPath
from random import Random
from typing import Any, ClassVar

from raft_pkg.events import Event
from raft_testbed.nemesis.cluster import Cluster, require
from raft_testbed.nemesis.errors import CommandError, FaultError
from raft_testbed.nemesis.fault import Fault
from raft_testbed.nemesis.host import Host
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.process import verify_new_processes
from raft_testbed.nemesis.view import ClusterView

TORN_BYTES = 11
"""Shorter than any record of the log."""
EVENT_SECONDS_MAX = 60.0
DISK_FULL_SECONDS_MAX = 30.0


class StoppedNodeFault(Fault):
    """Change the files of a node between SIGSTOP and SIGKILL."""

    needs = ("signals", "volumes")
    seconds = 2.0
    unresponsive = True
    loses_data: ClassVar[bool] = False
    corrupts: ClassVar[bool] = False
    """Whether the node can't restart before its data directory is removed."""

    def change_files(self, host: Host, data_dir: str, injection: Injection) -> None:
        """Change the files of a stopped node."""
        raise NotImplementedError

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        signals, volumes = require(cluster.signals), require(cluster.volumes)
        for node_id in injection.targets:
            host, data_dir = cluster.host_of(node_id), volumes.data_dir(node_id)
            stop, kill = signals.script(node_id, "STOP"), signals.script(node_id, "KILL")
            data, marker = shlex.quote(data_dir), shlex.quote(f"{data_dir}.damaged")
            # the marker goes with the data, so that a second run of the script keeps what the node received since
            wipe = f"[ ! -e {marker} ] || rm -rf {data} {marker}"
            injection.arm(host, f"({kill}) 2> /dev/null\n{wipe}\n{cluster.start_script(node_id)}", node_id)
            if self.loses_data:
                injection.record.data_lost.append(node_id)
            injection.memory["killed_at"] = time.time()
            host.run(stop + (f" && touch {marker}" if self.corrupts else ""))
            self.change_files(host, data_dir, injection)
            host.run(kill)

    def recover(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            cluster.ensure_started(node_id)

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        verify_new_processes(injection, view, injection.targets)


class LogFault(StoppedNodeFault):
    """A fault of the log's bytes, whose format must be known."""

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.system != "raft_pkg":
            return f"the fault knows the log format of raft_pkg, not that of {cluster.system}"
        return super().unavailable(cluster)


class LogTorn(LogFault):
    """Append the beginning of a record to the log, as a crash during a write does; the node must truncate it."""

    name = "log-torn"

    def change_files(self, host: Host, data_dir: str, injection: Injection) -> None:
        path, end = newest_segment(host, data_dir)
        host.write_at(path, end, bytes(range(1, TORN_BYTES + 1)))

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        for node_id in injection.targets:
            torn_bytes = [
                event["torn_bytes"]
                for event in cluster.log_events(node_id, injection.memory["killed_at"])
                if event["event"] == Event.LOG_RECOVERED
            ]
            injection.record.add_evidence(
                f"{node_id} truncates the torn write", any(torn_bytes), f"torn_bytes {torn_bytes} when it started"
            )


class BitsFlipped(LogFault):
    """Flip a bit in the middle of the log; the node must refuse to start. It returns with an empty disk."""

    name = "bits-flipped"
    loses_data = True
    corrupts = True

    def change_files(self, host: Host, data_dir: str, injection: Injection) -> None:
        path, end = newest_segment(host, data_dir)
        offset = Random(injection.id).randrange(end // 4, end // 2)
        byte = host.read(path)[offset]
        host.write_at(path, offset, bytes([byte ^ 0x10]))
        injection.memory["file"], injection.memory["offset"] = PurePosixPath(path).name, offset

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        file, offset = injection.memory["file"], injection.memory["offset"]
        for node_id in injection.targets:
            failure = cluster.start_failure(node_id, injection.processes_before[node_id], EVENT_SECONDS_MAX)
            injection.record.add_evidence(
                f"{node_id} refuses to start with a flipped bit, and names the file",
                "exit status 2" in failure and file in failure,
                f"byte {offset} of {file}: {failure[-400:] or 'it started'}",
            )


class VolumeLost(StoppedNodeFault):
    """Remove the data directory; the node must return as a learner before it votes again."""

    name = "volume-lost"
    loses_data = True

    def change_files(self, host: Host, data_dir: str, injection: Injection) -> None:
        host.run(f"rm -rf {shlex.quote(data_dir)}")

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        for node_id in injection.targets:
            changes = [
                event
                for event in cluster.log_events(node_id, injection.memory["killed_at"])
                if event["event"] == Event.CONFIGURATION_CHANGED
            ]
            learned = any(node_id in event["learners"] for event in changes)
            voted = bool(changes) and node_id in changes[-1]["voters"]
            observed = [f"index {e['index']}: voters {e['voters']}, learners {e['learners']}" for e in changes[-5:]]
            injection.record.add_evidence(
                f"{node_id} was a learner before it voted again",
                learned and voted,
                "; ".join(observed) or "no configuration in its log",
            )


class FileSystemFault(Fault):
    """Move the node's data to a file system of its own, break that, and move the data back with all changes."""

    needs = ("signals", "volumes")
    seconds = 5.0
    unresponsive = True
    extra_kib: ClassVar[int]
    """Size of the file system beyond that of the data."""

    def unavailable(self, cluster: Cluster) -> str:
        reason = super().unavailable(cluster) or require(cluster.volumes).mount_unavailable()
        if reason:
            return reason
        try:
            cluster.hosts()[-1].run(
                "d=$(mktemp -d) && trap 'umount $d 2> /dev/null; rm -rf $d $d.image' EXIT && size=0\n"
                f"{self.mount_script('$d')} && {self.try_script('$d')}"
            )
        except CommandError as error:
            return f"the file system can't be created: {str(error)[-200:]}"
        return ""

    def mount_script(self, directory: str) -> str:
        """Return a script that mounts the file system on a directory, with room for `$size` KiB of data."""
        raise NotImplementedError

    def try_script(self, directory: str) -> str:
        """Return a script that succeeds if the mounted file system can be broken."""
        return f"mountpoint -q {directory}"

    def repair_script(self, directory: str) -> str:
        """Return a script that repairs the file system, so that the data can move back. It never fails."""
        raise NotImplementedError

    def break_file_system(self, cluster: Cluster, node_id: str, injection: Injection) -> None:
        """Break the file system that the node uses now."""
        raise NotImplementedError

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        signals, volumes = require(cluster.signals), require(cluster.volumes)
        for node_id in injection.targets:
            host, data_dir = cluster.host_of(node_id), volumes.data_dir(node_id)
            stop, kill = signals.script(node_id, "STOP"), signals.script(node_id, "KILL")
            data, copy = shlex.quote(data_dir), shlex.quote(f"{data_dir}.kept")
            revert_script = "\n".join(
                (
                    self.repair_script(data),
                    f"({kill}) 2> /dev/null",
                    f"if mountpoint -q {data}; then",
                    volumes.kill_users_script(node_id, data_dir),
                    f"  sleep 0.2; rm -rf {copy}",
                    f"  cp -a --sparse=always {data} {copy} && umount {data} || exit 1",
                    f"  rm -rf {data} {data}.image && mv {copy} {data}",
                    f"fi\n{cluster.start_script(node_id)}",
                )
            )
            injection.arm(host, revert_script, node_id)
            injection.memory["killed_at"] = time.time()
            # Sparse copies: space that the node preallocated for its log would postpone the failure. The kill comes
            # last, since a kubelet restarts the node at once.
            host.run(
                f"set -e; {stop}; cp -a --sparse=always {data} {copy}\n"
                f"size=$(du -sk {copy} | cut -f 1); owner=$(stat -c %u:%g {data})\n"
                f"{self.mount_script(data)} || exit 1\nchown $owner {data}\n"
                f"cp -a --sparse=always {copy}/. {data}/; rm -rf {copy}; {kill}"
            )
            start_and_await(cluster, node_id, injection)
            self.break_file_system(cluster, node_id, injection)

    def recover(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            cluster.ensure_started(node_id)


class DiskFull(FileSystemFault):
    """Fill the disk: writes fail with ENOSPC."""

    name = "disk-full"
    extra_kib = 8192

    def mount_script(self, directory: str) -> str:
        return f"mount -t tmpfs -o size=$((size + {self.extra_kib}))k none {directory}"

    def repair_script(self, directory: str) -> str:
        return f"rm -f {directory}/filler"

    def break_file_system(self, cluster: Cluster, node_id: str, injection: Injection) -> None:
        data = shlex.quote(require(cluster.volumes).data_dir(node_id))
        signals = require(cluster.signals)
        stop, resume = signals.script(node_id, "STOP"), signals.script(node_id, "CONT")
        # space that the node has preallocated meanwhile would postpone the failure for minutes
        cluster.host_of(node_id).run(
            f"{stop}; find {data} -type f -exec fallocate --dig-holes {{}} ';'\n"
            f"cat /dev/zero > {data}/filler 2> /dev/null; {resume}; df -k {data} | tail -n 1 | grep -q 100%"
        )

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        for node_id in injection.targets:
            deadline = time.monotonic() + DISK_FULL_SECONDS_MAX
            errors: list[str] = []
            while not errors and time.monotonic() < deadline:
                events = cluster.log_events(node_id, injection.memory["killed_at"])
                errors = [str(event.get("error")) for event in events if event["event"] == Event.STORAGE_FAILED]
                time.sleep(0.5)
            injection.record.add_evidence(
                f"{node_id} reports a full disk, and stops",
                bool(errors),
                "; ".join(errors) or "no storage_failed in its log",
            )


class DiskSlow(FileSystemFault):
    """Slow down syncs: freeze the file system for `frozen_ms`, thaw it for `thawed_ms`, and repeat."""

    name = "disk-slow"
    extra_kib = 192 * 1024
    defaults: ClassVar[dict[str, Any]] = {"frozen_ms": 150, "thawed_ms": 50}

    def mount_script(self, directory: str) -> str:
        return (
            f"truncate -s $((size + {self.extra_kib}))k {directory}.image && mkfs.ext4 -q -F {directory}.image && "
            f"mount -o loop {directory}.image {directory} && rmdir {directory}/lost+found"
        )

    def try_script(self, directory: str) -> str:
        return f"fsfreeze -f {directory} && fsfreeze -u {directory}"

    def repair_script(self, directory: str) -> str:
        return f"rm -f {directory}.frozen; sleep 0.2; fsfreeze -u {directory} 2> /dev/null || true"

    def break_file_system(self, cluster: Cluster, node_id: str, injection: Injection) -> None:
        directory = shlex.quote(require(cluster.volumes).data_dir(node_id))
        settings = self.settings(injection.record)
        frozen, thawed = settings["frozen_ms"] / 1000, settings["thawed_ms"] / 1000
        pulse = (
            f"while [ -e {directory}.frozen ]; do "
            f"fsfreeze -f {directory} && sleep {frozen}; fsfreeze -u {directory}; sleep {thawed}; done"
        )
        cluster.host_of(node_id).run(
            f"touch {directory}.frozen; setsid sh -c {shlex.quote(pulse)} > /dev/null 2>&1 < /dev/null &"
        )

    def observe(self, cluster: Cluster, injection: Injection) -> None:
        frozen_ms = self.settings(injection.record)["frozen_ms"]
        for node_id in injection.targets:
            probe = shlex.quote(f"{require(cluster.volumes).data_dir(node_id)}/probe")
            timed = f"date +%s%N; dd if=/dev/zero of={probe} bs=1 count=1 oflag=dsync status=none; date +%s%N"
            script = f"for i in 1 2 3 4 5 6 7 8; do {timed}; sleep 0.05; done; rm -f {probe}"
            times = cluster.host_of(node_id).run(script).split()
            took_ms = [round((int(end) - int(begin)) / 1e6) for begin, end in pairwise(times)][::2]
            injection.record.add_evidence(
                f"a synced write waits on the disk of {node_id}",
                max(took_ms) >= frozen_ms / 2,
                f"one byte took {', '.join(map(str, took_ms))} ms",
            )


def start_and_await(cluster: Cluster, node_id: str, injection: Injection) -> None:
    """Start a node that was killed, and wait until its new process answers. Raise `FaultError` if it does not."""
    deadline = time.monotonic() + EVENT_SECONDS_MAX
    cluster.control_host.run(cluster.start_script(node_id))
    while True:
        node = cluster.view().node(node_id)
        if node.responsive and node.process not in ("", injection.processes_before[node_id]):
            return
        if time.monotonic() > deadline:
            raise FaultError(f"{node_id} does not answer on the other file system: {node}")
        time.sleep(0.3)


def newest_segment(host: Host, data_dir: str) -> tuple[str, int]:
    """Return the newest log file with content, and the offset after its last non-zero byte.

    The zeros after that are preallocated space. Raise `FaultError` if no file has enough content to damage.
    """
    listing = host.run(f"ls {shlex.quote(data_dir)}/*.log")
    if not listing:
        raise FaultError(f"no log file in {data_dir}")
    for path in sorted(listing.splitlines(), reverse=True):
        end = len(host.read(path).rstrip(b"\0"))
        if end > 1024:
            return path, end
    raise FaultError(f"no log file in {data_dir} has more than 1024 bytes")


FAULTS = (LogTorn, BitsFlipped, VolumeLost, DiskFull, DiskSlow)
