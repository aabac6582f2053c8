"""The deployment state that site.yml records."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from raft_pkg.errors import ConfigurationError


@dataclass(frozen=True)
class Deployment:
    """What the drivers need of the deployment state; paths are absolute or start with `~`."""

    orchestrator: Literal["kubernetes", "local"]
    state_dir: str
    """The testbed's state directory."""
    system: str = "raft_pkg"
    """Name of the Raft implementation."""
    faults_skipped: Mapping[str, str] = field(default_factory=dict)
    """Faults that the implementation does not support, with the reason."""
    raftctl: str = ""
    """local: path of the raftctl that manages the nodes."""
    dir: str = ""
    """local: directory of the cluster."""
    kubeconfig: str = ""
    """kubernetes: kubeconfig files, separated like PATH."""
    context: str = ""
    namespace: str = ""
    kind_cluster: str = ""
    """kubernetes: name of the kind cluster; empty: the machines are not this testbed's."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the deployment of a deployment state. Raise `ConfigurationError` if a member is missing."""
        system = content.get("system") or {}
        orchestrator = content.get("orchestrator")
        names = {"local": ("raftctl", "dir"), "kubernetes": ("kubeconfig", "context", "namespace")}
        if orchestrator not in names:
            raise ConfigurationError(f"deployment state: orchestrator {orchestrator!r} is neither kubernetes nor local")
        required = ("state_dir", *names[orchestrator])
        if missing := [name for name in required if not content.get(name)]:
            raise ConfigurationError(
                f"deployment state: {', '.join(missing)} is missing in {json.dumps(dict(content))}"
            )
        return cls(
            orchestrator=orchestrator,
            system=str(system.get("name", "raft_pkg")),
            faults_skipped=system.get("faults_skipped") or {},
            kind_cluster=str(content.get("kind_cluster", "")),
            **{name: str(content[name]) for name in required},
        )
