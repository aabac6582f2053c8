"""Exceptions that `Raft` raises."""


class NotLeaderError(Exception):
    """Only the leader accepts proposals and reads; `leader` is the leader that this node follows, None if unknown."""

    def __init__(self, leader: str | None) -> None:
        super().__init__(f"not the leader; the leader is {leader or 'unknown'}")
        self.leader = leader


class TransferRefusedError(Exception):
    """Leadership cannot be transferred to the target; the message gives the reason."""


class ChangeRefusedError(Exception):
    """The membership change is invalid, or not possible now; the message gives the reason. Nothing was changed."""


class InvariantError(Exception):
    """A safety property of the paper is violated. Stop the node: continuing could spread the damage."""
