"""Names of the safety properties, and the exception that reports the violation of one."""

ELECTION_SAFETY = "Election Safety"
LEADER_APPEND_ONLY = "Leader Append-Only"
LOG_MATCHING = "Log Matching"
LEADER_COMPLETENESS = "Leader Completeness"
STATE_MACHINE_SAFETY = "State Machine Safety"
ONE_VOTE = "One Vote per Term"
TERM_AND_VOTE = "Monotonic Term and Vote"
COMMIT_INDEX = "Monotonic Commit Index"
COMMIT_RULE = "Commit Rule"
STABLE_STORAGE = "Stable Storage Before Responding"
RECOVERY = "Recovery Restores Durable State"
ACKNOWLEDGED_WRITES = "No Acknowledged Write Lost"
AT_MOST_ONCE = "At-Most-Once Application"
EXPIRED_SESSION = "No Application in an Expired Session"
READS = "Reads Reflect Acknowledged Writes"
OWN_TERM_ENTRY = "Leader Appends an Entry of Its Term"
MATCH_INDEX = "Accurate Match Index"
QUORUMS_OVERLAP = "Quorums of Adjacent Configurations Overlap"
ONE_CHANGE = "One Membership Change at a Time"
OWN_TERM_CHANGE = "Commit in Own Term Before Membership Change"
LEARNERS = "Learners Do Not Count"
NON_MEMBERS = "Non-Members Do Not Count"
COMPACTION = "Compaction Only Up to a Snapshot"
SNAPSHOT_CONTENT = "Snapshot Equals Committed State"
SNAPSHOT_BYTES = "Equal Snapshots Have Equal Bytes"


class Violation(Exception):  # noqa: N818 - it reports an error of the program under test, not of this one
    """A property does not hold.

    `invariant` is the name of the property, `what` the evidence, `nodes` the ids of the nodes involved.
    """

    def __init__(self, invariant: str, what: str, *nodes: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what
        self.nodes = nodes
