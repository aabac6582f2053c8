"""Operations of an administrator: leadership transfer, scaling, a new image."""

import json
import time
from random import Random

from raft_testbed.nemesis.cluster import Cluster, require
from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.fault import Affected, Fault
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.view import ClusterView

ATTEMPTS_MAX = 5
NODES_MAX = 7
ROLL_OUT_SECONDS_MAX = 600.0


class Transfer(Fault):
    """Transfer leadership to the target (dissertation §3.10)."""

    name = "transfer"
    seconds = 1.0

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        record = injection.record
        for attempt in range(ATTEMPTS_MAX):
            try:
                reply = json.loads(cluster.raftctl("transfer", record.targets[0], "--json"))
                break
            except CommandError:
                if attempt == ATTEMPTS_MAX - 1:
                    raise
                time.sleep(1)
        record.add_evidence(
            f"{record.targets[0]} leads a later term",
            reply["term"] > record.term_before,
            f"{record.leader_before} led term {record.term_before}; {reply['leader']} leads term {reply['term']}",
        )


class Scale(Fault):
    """Add two voters, and remove them again."""

    name = "scale"
    needs = ("scaling",)
    affected = Affected.NONE
    target = "all"
    seconds = 5.0
    injection_seconds_max = 600.0

    def unavailable(self, cluster: Cluster) -> str:
        reason = super().unavailable(cluster)
        if reason:
            return reason
        count = len(cluster.view().ids)
        return "" if count + 2 <= NODES_MAX else f"the cluster has {count} nodes already"

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        record, scaling = injection.record, require(cluster.scaling)
        count = len(record.targets)
        new = [f"raft-{number}" for number in range(count, count + 2)]
        record.data_lost += new  # earlier nodes of these names had other disks
        list_members, remove = cluster.raftctl_script("members", "list"), cluster.raftctl_script("members", "remove")
        removals = [f"{list_members} | grep -q '^{node_id} ' && {remove} {node_id} || true" for node_id in new]
        injection.arm(cluster.control_host, "\n".join([*removals, scaling.remove_script(new)]))
        for node_id, address in scaling.add(new).items():
            cluster.raftctl("members", "add", node_id, address, "--promote", "--timeout", "120", seconds_max=130)
        voters = cluster.view().node(record.leader_before).voters
        record.add_evidence(f"{count + 2} voters", len(voters) == count + 2, f"voters {', '.join(voters)}")

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        targets, voters = injection.targets, sorted(view.node(view.leader).voters)
        injection.record.add_evidence(f"{len(targets)} voters again", voters == targets, f"voters {', '.join(voters)}")


class ImageUpgrade(Fault):
    """Give all nodes another image by a rolling update of the StatefulSet."""

    name = "image-upgrade"
    needs = ("images",)
    affected = Affected.ONE_AT_A_TIME
    target = "all"
    seconds = 0.0
    injection_seconds_max = ROLL_OUT_SECONDS_MAX
    unresponsive = True

    def inject(self, cluster: Cluster, injection: Injection) -> None:
        images = require(cluster.images)
        image, other = images.retag(f"chaos-{Random(injection.id).randrange(10**6)}")
        injection.arm(cluster.control_host, images.roll_out_script(image))
        cluster.control_host.run(images.roll_out_script(other), seconds_max=ROLL_OUT_SECONDS_MAX)
        current = images.current()
        injection.record.add_evidence(
            "every Pod runs the other image", set(current.values()) == {other}, json.dumps(current)
        )

    def verify(self, cluster: Cluster, injection: Injection, view: ClusterView) -> None:
        super().verify(cluster, injection, view)
        now = {node_id: view.node(node_id).process for node_id in injection.targets}
        changed = [node_id for node_id, process in now.items() if process != injection.processes_before[node_id]]
        injection.record.add_evidence(
            "every Pod was replaced", len(changed) == len(now), f"new processes: {', '.join(changed)}"
        )


FAULTS = (Transfer, Scale, ImageUpgrade)
