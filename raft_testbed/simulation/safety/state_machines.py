"""State Machine Safety (§5.4.3): every node applies the same commands, with the same results."""

from raft_testbed.simulation.safety.commits import CommitChecker
from raft_testbed.simulation.safety.observation import Observation
from raft_testbed.simulation.safety.violation import STATE_MACHINE_SAFETY, Violation


class StateMachineChecker:
    """Checks applied state. Owns the results after each command, and the state hash at each index."""

    def __init__(self, commits: CommitChecker) -> None:
        self._commits = commits
        self._results: dict[int, int] = {}
        self._state_hashes: dict[int, str] = {}

    def check_applied(self, now: Observation) -> None:
        """Check that a node has applied exactly the committed commands up to its applied index."""
        if now.applied_index > now.commit_index or now.applied_index > self._commits.last_index:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} has applied {now.applied_index}, and only {now.commit_index} is committed",
                now.node,
            )
        committed = self._commits.at(now.applied_index)
        if now.applied_digest != (committed.digest if committed else 0):
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node} has not applied exactly what is committed up to {now.applied_index}",
                now.node,
            )
        known = self._state_hashes.setdefault(now.applied_index, now.state_hash)
        if now.state_hash != known:
            raise Violation(
                STATE_MACHINE_SAFETY,
                f"{now.node}'s state hash at {now.applied_index} is {now.state_hash}, other nodes' is {known}",
                now.node,
            )

    def check_results(self, node: str, count: int, digest: int) -> None:
        """Check the digest of all results of a state machine after `count` commands against other nodes'."""
        if self._results.setdefault(count, digest) != digest:
            raise Violation(STATE_MACHINE_SAFETY, f"{node} gives another result of command {count} than others", node)
