"""Filters over logs and checks, as Ansible loads them; `tests/unit/verification` tests what they call."""

from __future__ import annotations

import json

from tests.ansible.plugins import load_plugin

CHECKS = [{"name": "one", "ok": True, "evidence": "observed", "phase": "cluster", "seconds": 1.0}]


def test_leaderships_are_plain_values() -> None:
    filters = load_plugin("filter", "raft_logs").FilterModule().filters()
    text = json.dumps({"event": "leader_changed", "node": "raft-0", "term": 2, "leader": "raft-0"})
    assert filters["agreed_leader"]({"raft-0": [text]}) == {"term": 2, "leader": "raft-0"}
    assert filters["agreed_leader"]({"raft-0": [text], "raft-1": [""]}) is None
    assert filters["latest_leadership"]({"raft-0": [text]}) == {"term": 0, "leader": None}
    assert filters["followed_term"](text) == 2


def test_junit_xml_is_text() -> None:
    filters = load_plugin("filter", "verify_report").FilterModule().filters()
    assert filters["junit_xml"](CHECKS, ["cluster"], "verify").startswith("<testsuites")
