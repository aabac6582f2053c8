"""What a fault is: whether it can be had here, how it is injected, what is to be seen of it. All heal the same way.

Before it breaks anything, a fault arms the undoing where it breaks it (shell.py).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from random import Random

    from ansible.module_utils.testbed_faults.cluster import Cluster
    from ansible.module_utils.testbed_faults.shell import Place
    from ansible.module_utils.testbed_faults.view import View

POLL_SECONDS = 0.2
"""Between two looks at the cluster; more where a look itself takes long, so that looking is not what keeps it busy."""


class FaultError(Exception):
    """A fault could not be injected or healed. The message says what was seen."""


@dataclass
class Step:
    """One fault of a run; plain values, so that it survives between injecting and healing."""

    id: str
    fault: str
    targets: list[str]
    seconds: float
    """How long it holds."""
    expiry_seconds: float
    """After so long it is undone where it was injected, whatever becomes of the run."""
    options: dict[str, Any]
    leader_before: str = ""
    term_before: int = 0
    processes_before: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What the fault itself remembers."""
    evidence: list[dict[str, Any]] = field(default_factory=list)
    data_lost: list[str] = field(default_factory=list)

    def saw(self, meant: str, holds: bool | None, observed: str) -> None:
        """Note evidence: what was to happen, whether it did (null: nobody could tell), and what was seen."""
        self.evidence.append({"expected": meant, "holds": holds, "observed": observed})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Fault:
    """Base of all faults."""

    name: ClassVar[str]
    rule: ClassVar[dict[str, Any]] = {}
    """What a scenario's `options` may set, and what it is where they do not."""
    target: ClassVar[str] = "follower"
    """Who suffers where the scenario does not say."""
    seconds: ClassVar[float] = 3.0
    """How long where the scenario does not say."""
    takes_seconds: ClassVar[float] = 0.0
    """What injecting alone may take, at most: the undoing waits for so much longer."""
    silent: ClassVar[bool] = False
    """Whether those hit say nothing, rather than refuse: clients notice that only by a time-out of their own."""
    forces_election: ClassVar[bool] = False
    """Whether a leader that is hit can't remain the leader, if a majority is there to elect another meanwhile."""
    ends_process: ClassVar[bool] = False
    """Whether a leader that is hit can't remain the leader in any case: a node does not lead when it starts."""

    def settings(self, step: Step) -> dict[str, Any]:
        """`rule`, as the scenario has it."""
        return {**self.rule, **{name: value for name, value in step.options.items() if name in self.rule}}

    def unavailable(self, cluster: Cluster) -> str:
        """Why it can't be had here; empty: it can."""
        return ""

    def widen(self, cluster: Cluster, view: View, targets: list[str], rng: Random) -> list[str]:
        """Who really suffers when these are chosen."""
        return targets

    def promise_seconds(self, cluster: Cluster, step: Step, view: View) -> float | None:
        """Longest time without an acknowledged write that is promised; None: nothing is.

        A minority's fault must not cost more than three times the longest election time-out, and what clients need to
        notice that a node has fallen silent.
        """
        if len(step.targets) > (len(view.ids) - 1) // 2:
            return None
        return 3 * cluster.election_seconds_max + (cluster.client_silence_seconds if self.silent else 0.0)

    def inject(self, cluster: Cluster, step: Step) -> None:
        """Arm the undoing, then break it."""
        raise NotImplementedError

    def observe(self, cluster: Cluster, step: Step) -> None:
        """Look, while it holds, and note evidence."""

    def revive(self, cluster: Cluster, step: Step) -> None:
        """What more than undoing makes it well sooner."""

    def confirm(self, cluster: Cluster, step: Step, view: View) -> None:
        """Note evidence when all is well again."""
        minority = 2 * len(step.targets) < len(view.ids)
        long_enough = step.seconds > 3 * cluster.election_seconds_max  # as in promise_seconds
        if step.leader_before in step.targets and (
            self.ends_process or (self.forces_election and minority and long_enough)
        ):
            step.saw(
                "another term, since the leader was hit",
                view.term > step.term_before,
                f"{step.leader_before} led term {step.term_before}; {view.leader} leads term {view.term}",
            )

    @staticmethod
    def arm(place: Place, step: Step, undo: str, node_id: str = "cluster") -> None:
        """Have it undone there when the time is over; each node of a step has an undoing of its own."""
        place.arm(f"{step.id}.{node_id}", undo, step.expiry_seconds)

    @staticmethod
    def disarm(place: Place, step: Step, node_id: str) -> None:
        """Undo what was armed for a node now: its part of the step is over before the others'."""
        place.heal(f"{step.id}.{node_id}")


def await_healthy(cluster: Cluster, seconds_max: float) -> tuple[View, float]:
    """Wait until all nodes follow one leader and have applied what was committed when they did; and how long it took.

    Raises `FaultError` with what is missing.
    """
    began = time.monotonic()
    commit_index = None
    while True:
        asked = time.monotonic()
        view = cluster.view()
        pending = view.pending(commit_index or 0)
        if not pending and commit_index is not None:
            return view, time.monotonic() - began
        if not pending:
            commit_index = view.node(view.leader).commit_index
        for node in view.nodes:
            if node.state == "waiting":  # for minutes perhaps, as the kubelet has it with who failed often
                cluster.start_again(node.id)
        if time.monotonic() - began > seconds_max:
            raise FaultError(f"not healthy within {seconds_max:g} s: {pending}; {view.describe()}")
        time.sleep(max(POLL_SECONDS, time.monotonic() - asked))
