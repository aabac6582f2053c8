"""Elections: one vote and one leader per term, and what a new leader's log must contain (Figure 3)."""

from raft_testbed.simulation.safety.commits import CommitChecker, Committed
from raft_testbed.simulation.safety.members import agree, miscounted
from raft_testbed.simulation.safety.observation import (
    Identity,
    Observation,
    describe_configuration,
    describe_entry,
    describe_nodes,
)
from raft_testbed.simulation.safety.violation import (
    ELECTION_SAFETY,
    LEADER_COMPLETENESS,
    ONE_VOTE,
    OWN_TERM_ENTRY,
    TERM_AND_VOTE,
    Violation,
)


class ElectionChecker:
    """Checks terms, votes and leaders. Owns the leader of each term and its log, and all votes that were sent."""

    def __init__(self, commits: CommitChecker) -> None:
        self.votes: dict[tuple[Identity, int], Identity] = {}
        """The candidate, by voter and term."""
        self._commits = commits
        self._leaders: dict[int, Identity] = {}
        self._logs: dict[int, Observation] = {}

    @property
    def leader_count(self) -> int:
        """Number of terms that had a leader."""
        return len(self._leaders)

    def leader_of(self, term: int) -> Identity | None:
        """Return the leader of a term, if it had one."""
        return self._leaders.get(term)

    def check_term_and_vote(self, before: Observation, now: Observation) -> None:
        """Check that a node's term does not decrease, nor its vote change within a term (§5.1, §5.2)."""
        if now.term < before.term:
            raise Violation(TERM_AND_VOTE, f"{now.node}'s term goes from {before.term} to {now.term}", now.node)
        if now.term == before.term and before.voted_for not in (None, now.voted_for):
            raise Violation(
                TERM_AND_VOTE,
                f"{now.node}'s vote in term {now.term} goes from {before.voted_for} to {now.voted_for}",
                now.node,
            )

    def check_vote(self, voter: Identity, term: int, candidate: Identity) -> None:
        """Check that a voter sends its vote to one candidate per term (§5.2)."""
        first = self.votes.setdefault((voter, term), candidate)
        if first != candidate:
            raise Violation(
                ONE_VOTE,
                f"{voter[0]} votes for {first[0]} and for {candidate[0]} in term {term} (§5.2)",
                voter[0],
            )

    def check_leader(self, now: Observation) -> None:
        """Election Safety: at most one leader can be elected in a given term (§5.2)."""
        leader = self._leaders.setdefault(now.term, now.identity)
        if leader != now.identity:
            raise Violation(
                ELECTION_SAFETY, f"{leader[0]} and {now.node} both lead term {now.term}", leader[0], now.node
            )

        def votes(voter: Identity) -> bool:
            return voter == now.identity or self.votes.get((voter, now.term)) == now.identity

        if not agree(now.configuration, votes):
            voters = {voter for voter, term in self.votes if term == now.term and votes(voter)} | {now.identity}
            raise Violation(
                miscounted(now.configuration, voters, ELECTION_SAFETY),
                f"{now.node} leads term {now.term} with the votes of {describe_nodes(voters)} alone, "
                f"in {describe_configuration(now.configuration)}",
                now.node,
            )
        self._logs[now.term] = now
        if now.term_at(now.last_index) != now.term:
            raise Violation(
                OWN_TERM_ENTRY, f"{now.node} leads term {now.term} with no entry of that term to commit (§8)", now.node
            )
        for committed in self._commits.entries:
            if committed.term < now.term:
                self._check_complete(now, committed)

    def check_later_leaders(self, committed: Committed) -> None:
        """Leader Completeness, for an entry that is committed after the leaders of later terms were elected."""
        for term, leader in self._logs.items():
            if term > committed.term:
                self._check_complete(leader, committed)

    def _check_complete(self, leader: Observation, committed: Committed) -> None:
        """Leader Completeness: an entry committed in a term is in the logs of the leaders of all later terms (§5.4).

        Entries before the log are in the snapshot, which has its own checks.
        """
        entry = committed.entry
        if entry.index < leader.first_index:
            return
        held = leader.entry_at(entry.index)
        if held is None or held.term != entry.term:
            found = "no entry" if held is None else describe_entry(held)
            raise Violation(
                LEADER_COMPLETENESS,
                f"{leader.node} leads term {leader.term} with {found} at index {entry.index}; "
                f"the entry of term {entry.term} was committed there in term {committed.term}",
                leader.node,
                self._leaders.get(committed.term, leader.identity)[0],
            )
