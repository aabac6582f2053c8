"""Ansible module `testbed_fault_info`: a thin wrapper of `raft_testbed.nemesis`."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from raft_pkg.errors import ConfigurationError
from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.open import open_cluster
from raft_testbed.nemesis.errors import NemesisError
from raft_testbed.nemesis.nemesis import unavailable

DOCUMENTATION = r"""
module: testbed_fault_info
short_description: Return whether a fault can be injected into a Raft cluster
description:
  - Returns why a fault is unavailable for the deployed cluster.
  - A fault is unavailable if the platform lacks a capability that the fault needs, or if the deployed system does not
    support it.
options:
  deployment:
    description: The deployment state that C(site.yml) recorded.
    type: dict
    required: true
  fault:
    description: Name of the fault.
    type: str
    required: true
  client_pod:
    description: Pod from which nodes in Kubernetes are reached.
    type: str
    default: client
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Check whether the leader's machine can be stopped
  testbed_fault_info:
    deployment: "{{ testbed_deployment }}"
    fault: node-stopped
  register: node_stopped

- name: Show why not
  ansible.builtin.debug:
    msg: "{{ node_stopped.reason }}"
  when: not node_stopped.available
"""

RETURN = r"""
available:
  description: Whether the fault can be injected.
  returned: always
  type: bool
reason:
  description: Why the fault is unavailable; empty if it is available.
  returned: always
  type: str
  sample: local nodes are processes, not Pods
"""


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the module's result."""
    deployment = Deployment.from_json(parameters["deployment"])
    reason = deployment.faults_skipped.get(parameters["fault"])
    if not reason:
        cluster = open_cluster(deployment, client_pod=parameters["client_pod"], unresponsive_seconds=0.0)
        reason = unavailable(cluster, parameters["fault"])
    return {"changed": False, "available": not reason, "reason": reason}


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "fault": {"type": "str", "required": True},
            "client_pod": {"type": "str", "default": "client"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params))
    except (NemesisError, ConfigurationError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
