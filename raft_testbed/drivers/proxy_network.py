"""Network rules by the proxy between local nodes (`raftctl proxy`), which handles whole messages."""

import shlex
from typing import Any

from raft_testbed.faults import Evidence
from raft_testbed.nemesis.errors import CommandError
from raft_testbed.nemesis.host import Host
from raft_testbed.nemesis.injection import Injection
from raft_testbed.proxy.control import ProxyUnavailableError, send_request
from raft_testbed.proxy.link_rules import LinkRule


class ProxyNetwork:
    """Rules of one proxy."""

    def __init__(self, control_host: Host, raftctl: str, control_address: str) -> None:
        self._control_host = control_host
        self._raftctl = raftctl
        self._control_address = control_address

    def unavailable(self, rule: LinkRule) -> str:
        del rule  # the proxy applies every rule
        return ""

    def apply(self, injection: Injection, rule: LinkRule) -> None:
        clear = [self._raftctl, "proxy", "clear", injection.id, "--control", self._control_address, "--json"]
        injection.arm(self._control_host, shlex.join(clear))
        injection.memory["counts"] = self._counts(rule)
        # the proxy itself ends the rule as well
        self._send({"set": injection.id, "rule": rule.to_json(), "seconds": injection.expiry_seconds})

    def effect(self, injection: Injection, rule: LinkRule) -> Evidence:
        before, counter = injection.memory["counts"], _counter(rule)
        counts = {link: count - before[link] for link, count in self._counts(rule).items()}
        per_link = ", ".join(f"{link} {count}" for link, count in counts.items())
        return Evidence(
            f"messages on {len(counts)} links are {counter}", sum(counts.values()) > 0, f"{counter}: {per_link}"
        )

    def _counts(self, rule: LinkRule) -> dict[str, int]:
        """Return how many messages the rule's kind of fault affected so far on each of the rule's links."""
        links = {(link["from"], link["to"]): link for link in self._send({"status": True})["links"]}
        return {
            f"{source}>{target}": int(links.get((source, target), {}).get(_counter(rule), 0))
            for source, target in rule.links
        }

    def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return send_request(self._control_address, request)
        except ProxyUnavailableError as error:
            raise CommandError(str(error)) from error


def _counter(rule: LinkRule) -> str:
    """Return the proxy's counter of what a rule does."""
    if rule.drop:
        return "dropped"
    if rule.duplicate:
        return "duplicated"
    return "resets" if rule.reset_every_ms else "delayed"
