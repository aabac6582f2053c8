"""What operators do, while clients work: leadership transfers, more nodes and fewer, another image."""

from __future__ import annotations

import json
import time
from random import Random
from typing import TYPE_CHECKING

from ansible.module_utils.testbed_faults.fault import Fault, Step
from ansible.module_utils.testbed_faults.shell import ShellError

if TYPE_CHECKING:
    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.view import View

ATTEMPTS_MAX = 5
SCALED_MAX = 7


class Transfer(Fault):
    """The leader hands over to the chosen follower."""

    name = "transfer"
    seconds = 1.0

    def inject(self, cluster: Cluster, step: Step) -> None:
        for attempt in range(ATTEMPTS_MAX):
            try:
                answer = json.loads(cluster.raftctl("transfer", step.targets[0], "--json"))
                break
            except ShellError:
                if attempt == ATTEMPTS_MAX - 1:
                    raise
                time.sleep(1)
        step.saw(
            f"{step.targets[0]} leads a later term",
            answer["term"] > step.term_before,
            f"{step.leader_before} led term {step.term_before}; {answer['leader']} took over in term {answer['term']}",
        )


class Scale(Fault):
    """Two more nodes become members, and cease to be."""

    name = "scale"
    target = "all"
    seconds = 5.0
    takes_seconds = 600.0

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        return 3 * cluster.election_seconds_max

    def unavailable(self, cluster: Cluster) -> str:
        count = len(cluster.view().ids)
        return "" if count + 2 <= SCALED_MAX else f"there are {count} nodes already"

    def inject(self, cluster: Cluster, step: Step) -> None:
        count = len(step.targets)
        new = [f"raft-{number}" for number in range(count, count + 2)]
        step.data_lost += new  # whoever had these names before had other disks
        listing, removal = cluster.raftctl_script("members", "list"), cluster.raftctl_script("members", "remove")
        lines = [f"{listing} | grep -q '^{node_id} ' && {removal} {node_id}" for node_id in new]
        undo = "\n".join([f"{line} || true" for line in lines] + [cluster.fewer_script(new)])
        self.arm(cluster.machine, step, undo)
        for node_id, address in cluster.more_nodes(new).items():
            cluster.raftctl("members", "add", node_id, address, "--promote", "--timeout", "120", seconds=130)
        voters = cluster.view().node(step.leader_before).voters
        step.saw(f"{count + 2} voters", len(voters) == count + 2, f"voters {', '.join(voters)}")

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        voters = sorted(view.node(view.leader).voters)
        step.saw(f"{len(step.targets)} voters again", voters == step.targets, f"voters {', '.join(voters)}")


class ImageUpgrade(Fault):
    """The StatefulSet gets another image, node by node."""

    name = "image-upgrade"
    target = "all"
    seconds = 0.0
    takes_seconds = 600.0
    silent = True

    def unavailable(self, cluster: Cluster) -> str:
        if cluster.platform == "local":
            return "local nodes have no image"
        return ""

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        """One node at a time is a minority, from three nodes on."""
        return 3 * cluster.election_seconds_max + cluster.client_silence_seconds if len(view.ids) > 2 else None

    def inject(self, cluster: Cluster, step: Step) -> None:
        image, other = cluster.other_image(f"chaos-{Random(step.id).randrange(10**6)}")
        self.arm(cluster.machine, step, cluster.image_script(image))
        cluster.machine.run(cluster.image_script(other), seconds=self.takes_seconds)
        images = cluster.images()
        step.saw("every Pod runs the other image", set(images.values()) == {other}, json.dumps(images))

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        super().confirm(cluster, step, view)
        now = {node_id: view.node(node_id).process for node_id in step.targets}
        changed = [node_id for node_id, process in now.items() if process != step.processes_before[node_id]]
        step.saw("every Pod was replaced", len(changed) == len(step.targets), f"other processes: {', '.join(changed)}")


class ClockJump(Fault):
    """A node's clock jumps."""

    name = "clock-jump"

    def unavailable(self, cluster: Cluster) -> str:
        return "all nodes share this machine's one wall clock, for which Linux has no namespace"


FAULTS = (Transfer, Scale, ImageUpgrade, ClockJump)
