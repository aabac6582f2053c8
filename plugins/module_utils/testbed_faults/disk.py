"""Faults of the disk. A node is held with SIGSTOP while its files are changed, then killed: it can't interfere."""

from __future__ import annotations

import shlex
import time
from itertools import pairwise
from pathlib import PurePosixPath
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.module_utils.testbed_faults.fault import Fault, FaultError, Step
from ansible.module_utils.testbed_faults.local import is_root
from ansible.module_utils.testbed_faults.processes import note_new_processes
from ansible.module_utils.testbed_faults.shell import Place, ShellError

if TYPE_CHECKING:
    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.view import View

TORN_BYTES = 11
"""Less than any record has."""
EVENT_SECONDS_MAX = 60.0
FULL_SECONDS_MAX = 30.0


class StoppedNodeFault(Fault):
    """Files of one node are changed between its SIGSTOP and its SIGKILL."""

    seconds = 2.0
    silent = True
    loses_data = False
    damages = False
    """Whether the node can't come back before its data are removed."""

    def change(self, place: Place, data_dir: str, step: Step) -> None:
        """Change the files of a node that stands still."""
        raise NotImplementedError

    def inject(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            place, data_dir = cluster.place_of(node_id), cluster.data_dir(node_id)
            stop, kill = (cluster.signal_script(node_id, signal) for signal in ("STOP", "KILL"))
            data, mark = shlex.quote(data_dir), shlex.quote(f"{data_dir}.damaged")
            # a node that came back by itself must not lose what it has got since
            wipe = f"[ ! -e {mark} ] || rm -rf {data} {mark}"
            undo = f"({kill}) 2> /dev/null\n{wipe}\n{cluster.start_script(node_id)}"
            self.arm(place, step, undo, node_id)
            if self.loses_data:
                step.data_lost.append(node_id)
            step.notes["killed_at"] = time.time()
            place.run(stop + (f" && touch {mark}" if self.damages else ""))
            self.change(place, data_dir, step)
            place.run(kill)

    def revive(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            cluster.start_again(node_id)

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        note_new_processes(step, view, step.targets)


class LogTorn(StoppedNodeFault):
    """The beginning of a record at the end of the log, as a crash in the middle of a write leaves it: to be cut off."""

    name = "log-torn"

    def unavailable(self, cluster: Cluster) -> str:
        return unknown_files(cluster)

    def change(self, place: Place, data_dir: str, step: Step) -> None:
        path, end = newest_segment(place, data_dir)
        place.write_at(path, end, bytes(range(1, TORN_BYTES + 1)))

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        for node_id in step.targets:
            recovered = [
                event["torn_bytes"]
                for event in cluster.log_of(node_id, step.notes["killed_at"])
                if event.get("event") == "log_recovered"
            ]
            step.saw(f"{node_id} cuts the torn write off", any(recovered), f"torn_bytes {recovered} when it started")


class BitsFlipped(StoppedNodeFault):
    """A bit in the middle of the log: the node must refuse to serve, and say why; it comes back with an empty disk."""

    name = "bits-flipped"
    loses_data = True
    damages = True

    def unavailable(self, cluster: Cluster) -> str:
        return unknown_files(cluster)

    def change(self, place: Place, data_dir: str, step: Step) -> None:
        path, end = newest_segment(place, data_dir)
        offset = Random(step.id).randrange(end // 4, end // 2)
        byte = place.read(path)[offset]
        place.write_at(path, offset, bytes([byte ^ 0x10]))
        step.notes["file"], step.notes["offset"] = PurePosixPath(path).name, offset

    def observe(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            words = cluster.failure_of(node_id, step.processes_before[node_id], EVENT_SECONDS_MAX)
            step.saw(
                f"{node_id} refuses to start with a flipped bit, and names the file",
                "exit status 2" in words and step.notes["file"] in words,
                f"byte {step.notes['offset']} of {step.notes['file']}: {words[-400:] or 'it started'}",
            )


class VolumeLost(StoppedNodeFault):
    """Everything on the disk is gone: the node must come back as another one, which learns before it votes."""

    name = "volume-lost"
    loses_data = True

    def change(self, place: Place, data_dir: str, step: Step) -> None:
        place.run(f"rm -rf {shlex.quote(data_dir)}")

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        for node_id in step.targets:
            changes = [
                event
                for event in cluster.log_of(node_id, step.notes["killed_at"])
                if event.get("event") == "configuration_changed"
            ]
            learned = any(node_id in event["learners"] for event in changes)
            voted = bool(changes) and node_id in changes[-1]["voters"]
            seen = [f"index {e['index']}: voters {e['voters']}, learners {e['learners']}" for e in changes[-5:]]
            meant = f"{node_id} was a learner before it voted again"
            step.saw(meant, learned and voted, "; ".join(seen) or "no configuration in its log")


class OtherDiskFault(Fault):
    """The node's data move to a file system of their own, to which something is done, and back with all that is new."""

    seconds = 5.0
    silent = True
    extra_kib: ClassVar[int]
    """What that file system has room for, besides the data."""

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.platform == "local" and not is_root():
            return "only root may mount another file system over a data directory"
        try:
            cluster.places()[-1].run(
                "d=$(mktemp -d) && trap 'umount $d 2> /dev/null; rm -rf $d $d.image' EXIT && size=0\n"
                f"{self.mount_script('$d')} && {self.try_script('$d')}"
            )
        except ShellError as error:
            return f"such a file system can't be had: {str(error)[-200:]}"
        return ""

    def mount_script(self, directory: str) -> str:
        """Mounts it there, for `$size` KiB of data."""
        raise NotImplementedError

    def try_script(self, directory: str) -> str:
        """Whether what is to be done to it can be done."""
        return f"mountpoint -q {directory}"

    def relieve_script(self, directory: str) -> str:
        """Ends what was done to it, so that the data can move back; fails never."""
        raise NotImplementedError

    def spoil(self, cluster: Cluster, node_id: str, step: Step) -> None:
        """Do it, now that the node works there."""
        raise NotImplementedError

    def inject(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            place, data_dir = cluster.place_of(node_id), cluster.data_dir(node_id)
            stop, kill = (cluster.signal_script(node_id, signal) for signal in ("STOP", "KILL"))
            data, kept = shlex.quote(data_dir), shlex.quote(f"{data_dir}.kept")
            undo = "\n".join(
                (
                    self.relieve_script(data),
                    f"({kill}) 2> /dev/null",
                    f"if mountpoint -q {data}; then",
                    cluster.end_script(node_id, data_dir),
                    f"  sleep 0.2; rm -rf {kept}",
                    f"  cp -a --sparse=always {data} {kept} && umount {data} || exit 1",
                    f"  rm -rf {data} {data}.image && mv {kept} {data}",
                    f"fi\n{cluster.start_script(node_id)}",
                )
            )
            self.arm(place, step, undo, node_id)
            step.notes["killed_at"] = time.time()
            # sparse, since space that was reserved for the log would let it go on for long; killed only when all is
            # in place, since the kubelet starts it again at once
            place.run(
                f"set -e; {stop}; cp -a --sparse=always {data} {kept}\n"
                f"size=$(du -sk {kept} | cut -f 1); owner=$(stat -c %u:%g {data})\n"
                f"{self.mount_script(data)} || exit 1\nchown $owner {data}\n"
                f"cp -a --sparse=always {kept}/. {data}/; rm -rf {kept}; {kill}"
            )
            wait_until_served(cluster, node_id, step)
            self.spoil(cluster, node_id, step)

    def revive(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            cluster.start_again(node_id)


class DiskFull(OtherDiskFault):
    """Something else fills the disk; writes fail with ENOSPC."""

    name = "disk-full"
    extra_kib = 8192

    def mount_script(self, directory: str) -> str:
        return f"mount -t tmpfs -o size=$((size + {self.extra_kib}))k none {directory}"

    def relieve_script(self, directory: str) -> str:
        return f"rm -f {directory}/filler"

    def spoil(self, cluster: Cluster, node_id: str, step: Step) -> None:
        data = shlex.quote(cluster.data_dir(node_id))
        stop, go_on = (cluster.signal_script(node_id, signal) for signal in ("STOP", "CONT"))
        # space that the node has reserved meanwhile would let it go on for minutes
        cluster.place_of(node_id).run(
            f"{stop}; find {data} -type f -exec fallocate --dig-holes {{}} ';'\n"
            f"cat /dev/zero > {data}/filler 2> /dev/null; {go_on}; df -k {data} | tail -n 1 | grep -q 100%"
        )

    def observe(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            deadline = time.monotonic() + FULL_SECONDS_MAX
            failures: list[str] = []
            while not failures and time.monotonic() < deadline:
                events = cluster.log_of(node_id, step.notes["killed_at"])
                failures = [str(event.get("error")) for event in events if event.get("event") == "storage_failed"]
                time.sleep(0.5)
            step.saw(
                f"{node_id} says that its disk is full, and stops",
                bool(failures),
                "; ".join(failures) or "no storage_failed",
            )


class DiskSlow(OtherDiskFault):
    """A disk that takes long to sync: the file system is frozen for `frozen_ms`, thawed for `thawed_ms`, and so on."""

    name = "disk-slow"
    extra_kib = 192 * 1024
    rule: ClassVar[dict[str, Any]] = {"frozen_ms": 150, "thawed_ms": 50}

    def mount_script(self, directory: str) -> str:
        return (
            f"truncate -s $((size + {self.extra_kib}))k {directory}.image && mkfs.ext4 -q -F {directory}.image && "
            f"mount -o loop {directory}.image {directory} && rmdir {directory}/lost+found"
        )

    def try_script(self, directory: str) -> str:
        return f"fsfreeze -f {directory} && fsfreeze -u {directory}"

    def relieve_script(self, directory: str) -> str:
        return f"rm -f {directory}.frozen; sleep 0.2; fsfreeze -u {directory} 2> /dev/null || true"

    def spoil(self, cluster: Cluster, node_id: str, step: Step) -> None:
        directory = shlex.quote(cluster.data_dir(node_id))
        settings = self.settings(step)
        frozen, thawed = settings["frozen_ms"] / 1000, settings["thawed_ms"] / 1000
        pulse = (
            f"while [ -e {directory}.frozen ]; do "
            f"fsfreeze -f {directory} && sleep {frozen}; fsfreeze -u {directory}; sleep {thawed}; done"
        )
        cluster.place_of(node_id).run(
            f"touch {directory}.frozen; setsid sh -c {shlex.quote(pulse)} > /dev/null 2>&1 < /dev/null &"
        )

    def observe(self, cluster: Cluster, step: Step) -> None:
        for node_id in step.targets:
            probe = shlex.quote(f"{cluster.data_dir(node_id)}/probe")
            timed = f"date +%s%N; dd if=/dev/zero of={probe} bs=1 count=1 oflag=dsync status=none; date +%s%N"
            script = f"for i in 1 2 3 4 5 6 7 8; do {timed}; sleep 0.05; done; rm -f {probe}"
            times = cluster.place_of(node_id).run(script).split()
            took = [round((int(end) - int(begin)) / 1e6) for begin, end in pairwise(times)][::2]
            step.saw(
                f"a synced write waits on the disk of {node_id}",
                max(took) >= self.settings(step)["frozen_ms"] / 2,
                f"one byte took {', '.join(map(str, took))} ms",
            )


def wait_until_served(cluster: Cluster, node_id: str, step: Step) -> None:
    """Start a node that was killed, and wait until another process answers; only then its disk is spoilt."""
    deadline = time.monotonic() + EVENT_SECONDS_MAX
    cluster.machine.run(cluster.start_script(node_id))
    while True:
        node = cluster.view().node(node_id)
        if node.answers and node.process not in ("", step.processes_before[node_id]):
            return
        if time.monotonic() > deadline:
            raise FaultError(f"{node_id} does not serve on the other file system: {node}")
        time.sleep(0.3)


def unknown_files(cluster: Cluster) -> str:
    """Why a log's bytes can't be changed with a purpose; empty where its form is known."""
    if cluster.system == "raft_pkg":
        return ""
    return f"the fault knows the log files of raft_pkg, not those of {cluster.system}"


def newest_segment(place: Place, data_dir: str) -> tuple[str, int]:
    """The log file that was written last, and one past its last byte that is not zero (the rest was only reserved)."""
    listing = place.run(f"ls {shlex.quote(data_dir)}/*.log")
    if not listing:
        raise FaultError(f"no log file in {data_dir}")
    for path in sorted(listing.splitlines(), reverse=True):
        end = len(place.read(path).rstrip(b"\0"))
        if end > 1024:
            return path, end
    raise FaultError(f"no log file in {data_dir} has more than 1024 bytes")


FAULTS = (LogTorn, BitsFlipped, VolumeLost, DiskFull, DiskSlow)
