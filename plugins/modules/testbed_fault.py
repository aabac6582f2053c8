"""Ansible module that injects faults into a Raft cluster, and undoes them.

The faults are in plugins/module_utils/testbed_faults; this is how a playbook reaches them.
"""

from __future__ import annotations

import time
import traceback
from datetime import UTC, datetime
from random import Random
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testbed_faults.catalogue import CATALOGUE
from ansible.module_utils.testbed_faults.cluster import Cluster
from ansible.module_utils.testbed_faults.fault import Fault, FaultError, Step, await_healthy
from ansible.module_utils.testbed_faults.kubernetes import KubernetesCluster
from ansible.module_utils.testbed_faults.local import LocalCluster
from ansible.module_utils.testbed_faults.shell import ShellError
from ansible.module_utils.testbed_faults.view import TargetError, View, choose_targets

DOCUMENTATION = r"""
module: testbed_fault
short_description: Make a Raft cluster suffer, and end that
description:
  - What is injected is undone after O(expiry_seconds) where it was injected, whatever becomes of the playbook.
options:
  state:
    description:
      - V(swept) undoes everything that any run has injected and not undone.
      - V(healthy) waits until all nodes follow one leader and have applied what it has committed.
      - V(available) says whether the fault can be had here, and why not.
      - V(injected) chooses who suffers, injects, and returns when O(seconds) have passed.
      - V(healed) undoes what was injected, and waits until all is well.
    type: str
    choices: [swept, healthy, available, injected, healed]
    required: true
  record:
    description: What site.yml recorded.
    type: dict
    required: true
  client_pod:
    description: Pod from which the nodes are asked on Kubernetes.
    type: str
    default: client
  client_silence_seconds:
    description: How long clients wait for a node that says nothing, before they ask another.
    type: float
    default: 1.0
  fault:
    description: Name of the fault.
    type: str
  target:
    description:
      - Who suffers, V(leader), V(follower), V(random), V(minority), V(minority_with_leader), V(majority), V(all), or a
        node.
    type: str
  options:
    description: Settings of the fault.
    type: dict
    default: {}
  seconds:
    description: How long it holds; without it, as long as suits the fault.
    type: float
  expiry_seconds:
    description: After how long it undoes itself.
    type: float
    default: 120
  rng:
    description: Seed of the choice of those who suffer.
    type: str
    default: ""
  step:
    description: What V(injected) returned, for V(healed).
    type: dict
  seconds_max:
    description: How long the cluster may take to be well.
    type: float
    default: 60
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Cut the leader off
  testbed_fault:
    state: injected
    record: "{{ testbed_deployment }}"
    fault: partition
    target: leader
    seconds: 5
  register: injected

- name: End that
  testbed_fault:
    state: healed
    record: "{{ testbed_deployment }}"
    step: "{{ injected.step }}"
"""

RETURN = r"""
swept:
  description: What was undone, as PLACE NAME.
  returned: state is swept
  type: list
reason:
  description: Why the fault can't be had here; empty when it can.
  returned: state is available
  type: str
step:
  description: Who suffers, and what was seen so far.
  returned: state is injected
  type: dict
window:
  description: The fault as faults.jsonl has it.
  returned: state is healed
  type: dict
"""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def sweep(cluster: Cluster) -> list[str]:
    """Undo everything that is armed anywhere."""
    found = [(place, name) for place in cluster.places() for name in place.leftovers()]
    return [f"{place.name} {name} {place.heal(name)}" for place, name in found]


def inject(cluster: Cluster, asked: dict[str, Any]) -> Step:
    """Wait until all is well, choose, inject, hold, look."""
    fault = CATALOGUE[asked["fault"]]
    view, _ = await_healthy(cluster, asked["seconds_max"])
    rng = Random(asked["rng"])
    targets = choose_targets(asked["target"] or fault.target, view, rng)
    targets = fault.widen(cluster, view, targets, rng)
    step = Step(
        id=f"{fault.name}-{time.time_ns()}",
        fault=fault.name,
        targets=targets,
        seconds=fault.seconds if asked["seconds"] is None else asked["seconds"],
        expiry_seconds=asked["expiry_seconds"] + fault.takes_seconds,
        options=asked["options"],
        leader_before=view.leader,
        term_before=view.term,
        processes_before={node.id: node.process for node in view.nodes},
    )
    step.notes["promise_seconds"] = fault.promise_seconds(cluster, step, view)
    step.notes["began"] = now()
    try:
        fault.inject(cluster, step)
        time.sleep(step.seconds)
        fault.observe(cluster, step)
    except (FaultError, ShellError) as error:
        # the run goes on, and shows that this did not happen as it was meant
        step.notes["failed"] = str(error)
        step.saw(f"{fault.name} of {', '.join(targets)} can be injected", False, str(error))
    return step


def undo(cluster: Cluster, fault: Fault, step: Step) -> list[str]:
    """Undo one step wherever it is armed, and see to it that all come back."""
    armed = [(place, name) for place in cluster.places() for name in place.leftovers()]
    undone = [f"{name} {place.heal(name)}" for place, name in armed if name.startswith(f"{step.id}.")]
    fault.revive(cluster, step)
    return undone


def heal(cluster: Cluster, step: Step, seconds_max: float) -> dict[str, Any]:
    """Undo one step; returns its window for the run's record."""
    fault = CATALOGUE[step.fault]
    undone = undo(cluster, fault, step)
    healed = now()
    view, _ = await_healthy(cluster, seconds_max)
    ended = now()
    if "failed" not in step.notes:
        fault.confirm(cluster, step, view)
    if any(name.endswith(" expired") for name in undone):
        step.saw("healed by the run", False, f"it had undone itself before: {', '.join(undone)}")
    return {
        "fault": step.fault,
        "targets": step.targets,
        "injected_at": step.notes["began"],
        "healed_at": healed,
        "recovered_at": ended,
        "unavailability_slo_seconds": step.notes["promise_seconds"],
        "evidence": step.evidence,
        "data_lost": step.data_lost,
        "seconds": step.seconds,
        "options": step.options,
        "leader_before": step.leader_before,
        "term_before": step.term_before,
        "leader_after": view.leader,
        "term_after": view.term,
    }


def describe(view: View) -> dict[str, Any]:
    return {"leader": view.leader, "term": view.term, "nodes": view.ids}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """What the module returns."""
    record = asked["record"]
    cluster: Cluster
    if record["orchestrator"] == "local":
        cluster = LocalCluster(record, asked["client_silence_seconds"])
    else:
        cluster = KubernetesCluster(record, asked["client_pod"], asked["client_silence_seconds"])
    if asked["state"] == "swept":
        swept = sweep(cluster)
        return {"changed": bool(swept), "swept": swept}
    if asked["state"] == "healthy":
        view, seconds = await_healthy(cluster, asked["seconds_max"])
        return {"changed": False, "waited_seconds": round(seconds, 3), **describe(view)}
    if asked["state"] == "healed":
        return {"changed": True, "window": heal(cluster, Step(**asked["step"]), asked["seconds_max"])}
    if asked["fault"] not in CATALOGUE:
        raise FaultError(f"there is no fault {asked['fault']!r}; there are {', '.join(sorted(CATALOGUE))}")
    if asked["state"] == "available":
        skipped = (record.get("system", {}).get("faults_skipped") or {}).get(asked["fault"])
        return {"changed": False, "reason": skipped or CATALOGUE[asked["fault"]].unavailable(cluster)}
    return {"changed": True, "step": inject(cluster, asked).to_json()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["swept", "healthy", "available", "injected", "healed"],
                "required": True,
            },
            "record": {"type": "dict", "required": True},
            "client_pod": {"type": "str", "default": "client"},
            "client_silence_seconds": {"type": "float", "default": 1.0},
            "fault": {"type": "str"},
            "target": {"type": "str"},
            "options": {"type": "dict", "default": {}},
            "seconds": {"type": "float"},
            "expiry_seconds": {"type": "float", "default": 120.0},
            "rng": {"type": "str", "default": ""},
            "step": {"type": "dict"},
            "seconds_max": {"type": "float", "default": 60.0},
        },
        required_if=[
            ("state", "available", ["fault"]),
            ("state", "injected", ["fault"]),
            ("state", "healed", ["step"]),
        ],
    )
    try:
        module.exit_json(**answer(module.params))
    except (FaultError, ShellError, TargetError) as error:
        module.fail_json(msg=str(error))
    except Exception as error:
        module.fail_json(msg=f"{type(error).__name__}: {error}", exception=traceback.format_exc())


if __name__ == "__main__":
    main()
