"""Ansible module `testbed_fault`: a thin wrapper of `raft_testbed.nemesis`."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from raft_pkg.errors import ConfigurationError
from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.open import open_cluster
from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.cluster import Cluster
from raft_testbed.nemesis.errors import NemesisError
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.nemesis import clean_up, heal, inject

DOCUMENTATION = r"""
module: testbed_fault
short_description: Inject a fault into a Raft cluster, and heal it
description:
  - Injects one fault into the deployed cluster, or heals it, or cleans up after an interrupted run.
  - Before a fault breaks anything, a dead man's switch is armed where it happens. It reverts the fault after
    O(expiry_seconds), whatever happens to the playbook.
  - Runs on the host that runs the playbook, with the Python that has C(raft_testbed).
options:
  state:
    description:
      - V(injected) waits for a healthy cluster, chooses the targets, injects the fault and returns when the fault has
        held for O(seconds).
      - V(healed) reverts an injected fault and waits for a healthy cluster.
      - V(cleaned) reverts every fault that any run injected and did not heal.
    type: str
    choices: [injected, healed, cleaned]
    required: true
  deployment:
    description: The deployment state that C(site.yml) recorded.
    type: dict
    required: true
  fault:
    description: Name of the fault. Required if O(state=injected).
    type: str
  target:
    description:
      - Selector of the targets, one of V(leader), V(follower), V(random), V(minority), V(minority_with_leader),
        V(majority), V(all), or the name of a node.
      - Empty for the fault's default.
    type: str
    default: ""
  options:
    description: Options of the fault. An option that is omitted has the fault's default.
    type: dict
    default: {}
  seconds:
    description: How long the fault holds before it is healed. The default depends on the fault.
    type: float
  seed:
    description: Seed of the random choice of targets.
    type: str
    default: ""
  injection:
    description: The return value RV(injection) of the injection. Required if O(state=healed).
    type: dict
  expiry_seconds:
    description: How long the dead man's switch waits beyond the fault's own time.
    type: float
    default: 120
  healthy_seconds_max:
    description: How long the cluster may take to become healthy.
    type: float
    default: 60
  client_pod:
    description: Pod from which nodes in Kubernetes are reached.
    type: str
    default: client
  unresponsive_seconds:
    description: How long clients wait for an unresponsive node before they try another.
    type: float
    default: 1
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Partition the leader
  testbed_fault:
    state: injected
    deployment: "{{ testbed_deployment }}"
    fault: partition
    target: leader
    seconds: 5
  register: partition

- name: Heal the partition
  testbed_fault:
    state: healed
    deployment: "{{ testbed_deployment }}"
    injection: "{{ partition.injection }}"

- name: Clean up after an interrupted run
  testbed_fault:
    state: cleaned
    deployment: "{{ testbed_deployment }}"
"""

RETURN = r"""
injection:
  description: The injected fault. O(injection) takes it to heal the fault.
  returned: if O(state=injected)
  type: dict
record:
  description: The fault as one line of C(faults.jsonl).
  returned: if O(state=injected) or O(state=healed)
  type: dict
  sample: {fault: kill, targets: [raft-0], seconds: 3.0}
reverted:
  description: What was reverted, each as the host, the switch and the result.
  returned: if O(state=cleaned)
  type: list
  elements: str
"""


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Bring the fault into the requested state. Return the module's result."""
    cluster: Cluster = open_cluster(
        Deployment.from_json(parameters["deployment"]),
        client_pod=parameters["client_pod"],
        unresponsive_seconds=parameters["unresponsive_seconds"],
    )
    if parameters["state"] == "cleaned":
        reverted = clean_up(cluster)
        return {"changed": bool(reverted), "reverted": reverted}
    if parameters["state"] == "healed":
        injection = Injection.from_json(parameters["injection"])
        record = heal(cluster, injection, healthy_seconds_max=parameters["healthy_seconds_max"])
        return {"changed": True, "record": record.to_json()}
    planned = FaultRecord(**{name: parameters[name] for name in ("fault", "target", "seconds", "options", "seed")})
    injection = inject(
        cluster,
        planned,
        expiry_seconds=parameters["expiry_seconds"],
        healthy_seconds_max=parameters["healthy_seconds_max"],
    )
    return {"changed": True, "injection": injection.to_json(), "record": injection.record.to_json()}


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["injected", "healed", "cleaned"], "required": True},
            "deployment": {"type": "dict", "required": True},
            "fault": {"type": "str"},
            "target": {"type": "str", "default": ""},
            "options": {"type": "dict", "default": {}},
            "seconds": {"type": "float"},
            "seed": {"type": "str", "default": ""},
            "injection": {"type": "dict"},
            "expiry_seconds": {"type": "float", "default": 120.0},
            "healthy_seconds_max": {"type": "float", "default": 60.0},
            "client_pod": {"type": "str", "default": "client"},
            "unresponsive_seconds": {"type": "float", "default": 1.0},
        },
        required_if=[("state", "injected", ["fault"]), ("state", "healed", ["injection"])],
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=module.params["state"] != "cleaned", skipped=True, msg="no faults in check mode")
    try:
        module.exit_json(**run(module.params))
    except (NemesisError, ConfigurationError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
