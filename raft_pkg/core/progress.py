"""What a leader knows of one follower (paper, Figure 2: nextIndex, matchIndex), and what is under way to it."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Replication to one follower.

    While `probing`, the leader does not know where the logs agree, and sends one append at a time. After the first
    success it pipelines: `next_index` runs ahead of the answers, up to a limit of appends in flight. Lost appends
    show in the next heartbeat, whose predecessor the follower then lacks.
    """

    next_index: int
    heard_at: float
    """When this follower last answered in the leader's term, in the caller's seconds."""
    match_index: int = 0
    probing: bool = True
    probe_in_flight: bool = False
    in_flight: deque[int] = field(default_factory=deque)
    """The last index of each append with entries that was sent and not yet answered."""
    read_round: int = 0
    """The newest leadership check that this follower has answered in the leader's term."""

    def may_send(self, in_flight_max: int) -> bool:
        """Whether another append with entries may leave now."""
        return not self.probe_in_flight if self.probing else len(self.in_flight) < in_flight_max

    def sent(self, last_index: int) -> None:
        """An append with entries up to `last_index` has left."""
        if self.probing:
            self.probe_in_flight = True
        else:
            self.in_flight.append(last_index)
            self.next_index = last_index + 1

    def matched(self, index: int) -> None:
        """The follower's log equals ours up to `index`."""
        self.probing = False
        self.probe_in_flight = False
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        while self.in_flight and self.in_flight[0] <= self.match_index:
            self.in_flight.popleft()

    def is_stale_rejection(self, rejected_index: int) -> bool:
        """Whether a refusal answers something sent before what we know now."""
        if self.probing:
            return rejected_index != self.next_index - 1
        return not self.match_index < rejected_index < self.next_index

    def rejected(self, next_index: int) -> None:
        """The follower lacks what precedes `next_index` or disagrees with it: probe from an earlier place."""
        self.probing = True
        self.probe_in_flight = False
        self.in_flight.clear()
        self.next_index = max(next_index, self.match_index + 1)
