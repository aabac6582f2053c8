"""Ansible module `testbed_cluster_info`: a thin wrapper of `raft_testbed.nemesis`."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from raft_pkg.errors import ConfigurationError
from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.open import open_cluster
from raft_testbed.nemesis.errors import NemesisError
from raft_testbed.nemesis.fault import await_healthy

DOCUMENTATION = r"""
module: testbed_cluster_info
short_description: Wait until a Raft cluster is healthy, and return its leader, term and nodes
description:
  - A cluster is healthy if all nodes follow one leader, all of them are voters, and each has applied every entry that
    was committed when the nodes agreed.
  - Fails with the reason if the cluster is not healthy in time.
options:
  deployment:
    description: The deployment state that C(site.yml) recorded.
    type: dict
    required: true
  healthy_seconds_max:
    description: How long the cluster may take to become healthy.
    type: float
    default: 60
  client_pod:
    description: Pod from which nodes in Kubernetes are reached.
    type: str
    default: client
author: [The raft-testbed authors]
"""

EXAMPLES = r"""
- name: Wait for a healthy cluster
  testbed_cluster_info:
    deployment: "{{ testbed_deployment }}"
    healthy_seconds_max: 120
  register: cluster
"""

RETURN = r"""
leader:
  description: Name of the leader.
  returned: always
  type: str
  sample: raft-0
term:
  description: Current term.
  returned: always
  type: int
nodes:
  description: Names of all nodes, sorted.
  returned: always
  type: list
  elements: str
waited_seconds:
  description: How long the cluster took to become healthy.
  returned: always
  type: float
"""


def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Wait for a healthy cluster. Return the module's result."""
    deployment = Deployment.from_json(parameters["deployment"])
    cluster = open_cluster(deployment, client_pod=parameters["client_pod"], unresponsive_seconds=0.0)
    view, seconds = await_healthy(cluster, parameters["healthy_seconds_max"])
    return {
        "changed": False,
        "leader": view.leader,
        "term": view.term,
        "nodes": view.ids,
        "waited_seconds": round(seconds, 3),
    }


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "healthy_seconds_max": {"type": "float", "default": 60.0},
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
