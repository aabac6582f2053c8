"""Commands on a namespace of Kubernetes, for scripts that outlive the program that wrote them.

The revert scripts of dead man's switches call these, and the role chaos starts `follow`:
`python -m raft_testbed.drivers --kubeconfig FILES --context NAME --namespace NAME COMMAND …`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from raft_testbed.drivers.kubernetes import ROLL_OUT_SECONDS_MAX, SELECTOR, STATEFUL_SET
from raft_testbed.drivers.kubernetes_api import KubernetesApi, KubernetesError
from raft_testbed.drivers.log_follower import follow_logs

_DELETION_SECONDS_MAX = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, or 1 after a message on standard error."""
    options = _parser().parse_args(arguments)
    try:
        api = KubernetesApi(options.kubeconfig, options.context, options.namespace)
        options.run(api, options)
    except KubernetesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m raft_testbed.drivers", description=__doc__)
    for name in ("kubeconfig", "context", "namespace"):
        parser.add_argument(f"--{name}", required=True)
    commands = parser.add_subparsers(required=True)

    execute = commands.add_parser("exec", help="run a command in a Pod and print its output")
    execute.add_argument("pod")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    execute.set_defaults(run=_execute)

    remove = commands.add_parser("remove", help="scale the nodes down and delete the volumes of the removed ones")
    remove.add_argument("replicas", type=int)
    remove.add_argument("nodes", nargs="+")
    remove.set_defaults(run=_remove)

    roll_out = commands.add_parser("roll-out", help="give the nodes an image, one after the other, and wait")
    roll_out.add_argument("container")
    roll_out.add_argument("image")
    roll_out.set_defaults(run=_roll_out)

    follow = commands.add_parser("follow", help="write the logs of Pods to files until SIGTERM")
    follow.add_argument("directory", type=Path)
    follow.add_argument("seconds_max", type=float)
    follow.add_argument("pods", nargs="+", metavar="POD[=FILE]", help="FILE is logs/POD.log by default")
    follow.set_defaults(run=_follow)
    return parser


def _execute(api: KubernetesApi, options: argparse.Namespace) -> None:
    sys.stdout.write(api.execute(options.pod, options.command[options.command[:1] == ["--"] :]))


def _remove(api: KubernetesApi, options: argparse.Namespace) -> None:
    api.scale(STATEFUL_SET, options.replicas)
    deadline = time.monotonic() + _DELETION_SECONDS_MAX
    # after that, Kubernetes deletes a claim when its Pod ends
    while set(options.nodes) & api.pods(SELECTOR).keys() and time.monotonic() < deadline:
        time.sleep(1)
    for node_id in options.nodes:
        api.delete_claim(f"data-{node_id}")


def _roll_out(api: KubernetesApi, options: argparse.Namespace) -> None:
    api.set_image(STATEFUL_SET, options.container, options.image)
    api.await_roll_out(STATEFUL_SET, ROLL_OUT_SECONDS_MAX)


def _follow(api: KubernetesApi, options: argparse.Namespace) -> None:
    files = [(pod, file or f"logs/{pod}.log") for pod, _, file in (item.partition("=") for item in options.pods)]
    follow_logs(api, {pod: options.directory / file for pod, file in files}, options.seconds_max)


if __name__ == "__main__":
    sys.exit(main())
