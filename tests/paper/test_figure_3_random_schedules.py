"""Figure 3: the safety properties on random schedules of faults.

Messages are lost, duplicated and reordered, links are cut, nodes crash during a write or between the sync and the
replies, and restart with the state on their disks. The simulator's safety checker checks every step. Seeds
are fixed, so that a failure can be reproduced.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from raft_pkg.core.errors import NotLeaderError, TransferRefusedError
from raft_pkg.core.types import Role
from tests.support.cluster import Cluster
from tests.support.core import CONFIG

PLAIN = replace(CONFIG, append_bytes_max=4, appends_in_flight_max=3)
EXTENDED = replace(PLAIN, pre_vote=True, check_quorum=True)
STEPS = 2500


class FaultyCluster:
    """A cluster and a random number generator; each step does one thing to the cluster."""

    def __init__(self, seed: int, *, extended: bool) -> None:
        self.random = Random(seed)
        self.cluster = self.build(seed, self.random.choice(["abc", "abcd", "abcde"]), extended=extended)
        self.commands = self.reads_served = self.crashes_during_writes = 0
        self.committed_before: dict[tuple[str, int], int] = {}
        """Node and request id of each pending read, and how many entries were committed when it was requested."""
        self.actions: list[tuple[float, Callable[[], None]]] = [
            (100, self.deliver),
            (6, self.lose),
            (6, self.duplicate),
            (12, self.expire_timeout),
            (10, self.propose),
            (6, self.read),
            (0.7, self.crash),
            (2.5, self.start),
            (0.8, self.cut),
            (0.8, self.cluster.heal),
            (0.3, self.transfer),
        ]

    def build(self, seed: int, voters: str, *, extended: bool) -> Cluster:
        return Cluster(voters, seed=seed, config=EXTENDED if extended else PLAIN)

    def run(self, steps: int) -> None:
        weights = [weight for weight, _ in self.actions]
        for _, action in self.random.choices(self.actions, weights, k=steps):
            action()
            self.check_reads()

    def recover(self) -> None:
        """With all faults over, the cluster makes progress, and all nodes apply the same entries."""
        self.cluster.heal()
        for node_id, member in self.cluster.members.items():
            if member.raft is None:
                self.cluster.start(node_id)
        self.cluster.run(4.0)
        assert self.cluster.leader is not None, "no leader after the faults were over"
        last = self.cluster.propose(self.cluster.leader.node_id, b"last")
        self.cluster.run(1.0)
        assert {len(member.applied) for member in self.cluster.members.values()} == {last.index}

    # --- steps ------------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        if self.cluster.network:
            position = min(self.random.randrange(len(self.cluster.network)), self.random.randrange(8))
            self.receive(position)

    def receive(self, position: int) -> None:
        message = self.cluster.network.pop(position)
        raft = self.cluster.members[message.recipient].raft
        if raft is not None:
            raft.receive(message, self.cluster.now)
            self.carry_out(message.recipient)

    def carry_out(self, node_id: str) -> None:
        """Do all work of a member's core, with an occasional crash in the middle."""
        while (ready := self.cluster.write(node_id)) is not None:
            if self.random.random() < 0.004:
                self.crashes_during_writes += 1
                unsynced = self.cluster.members[node_id].disk.unsynced
                self.cluster.crash(node_id, survivors=self.random.randint(0, unsynced))
                return
            if self.random.random() < 0.002:
                self.crashes_during_writes += 1
                self.cluster.members[node_id].storage.sync()
                self.cluster.crash(node_id)
                return
            self.cluster.finish(node_id, ready)

    def lose(self) -> None:
        if self.cluster.network:
            self.cluster.network.pop(self.random.randrange(len(self.cluster.network)))

    def duplicate(self) -> None:
        if self.cluster.network:
            self.cluster.network.append(self.random.choice(self.cluster.network))

    def expire_timeout(self) -> None:
        if self.cluster.running:
            raft = min(self.cluster.running, key=lambda raft: raft.next_timeout())
            if self.random.random() < 0.2:
                raft = self.random.choice(self.cluster.running)
            self.cluster.now = max(self.cluster.now, raft.next_timeout())
            raft.tick(self.cluster.now)
            self.carry_out(raft.node_id)

    def propose(self) -> None:
        for raft in self.cluster.running:
            if raft.role is Role.LEADER and raft.transfer_target is None and self.random.random() < 0.5:
                self.commands += 1
                raft.propose(b"%d" % self.commands)
                self.carry_out(raft.node_id)

    def read(self) -> None:
        for raft in self.cluster.running:
            if raft.role is Role.LEADER:
                self.committed_before[raft.node_id, raft.read_index()] = len(self.cluster.committed)
                self.carry_out(raft.node_id)

    def transfer(self) -> None:
        for raft in self.cluster.running:
            try:
                raft.transfer_leadership(self.random.choice(self.cluster.voters), self.cluster.now)
            except (NotLeaderError, TransferRefusedError):
                continue
            self.carry_out(raft.node_id)

    def crash(self) -> None:
        if self.cluster.running:
            node_id = self.random.choice(self.cluster.running).node_id
            self.cluster.crash(node_id)

    def start(self) -> None:
        for node_id, member in self.cluster.members.items():
            if member.raft is None:
                self.cluster.start(node_id)
                self.committed_before = {
                    read: index for read, index in self.committed_before.items() if read[0] != node_id
                }
                return

    def cut(self) -> None:
        voters = self.cluster.voters
        self.cluster.isolate(*self.random.sample(voters, self.random.randint(1, len(voters) // 2)))
        if self.random.random() < 0.3:  # in one direction
            self.cluster.cut = {link for link in sorted(self.cluster.cut) if self.random.random() < 0.5}

    def check_reads(self) -> None:
        """Linearizable reads (dissertation §6.4): the read index covers all entries that were committed before."""
        for node_id, member in self.cluster.members.items():
            for request_id, index in member.served_reads.items():
                self.reads_served += 1
                minimum = self.committed_before.pop((node_id, request_id), 0)
                assert index >= minimum, f"read {request_id} of {node_id} has index {index}, expected {minimum} or more"
            member.served_reads.clear()


@pytest.mark.parametrize("extended", [False, True], ids=["section 5 only", "all extensions"])
@pytest.mark.parametrize("seed", range(25))
def test_figure_3_properties_hold_on_random_schedules(seed, extended):
    """Figure 3: Election Safety, Leader Append-Only, Log Matching, Leader Completeness, State Machine Safety."""
    faulty = FaultyCluster(seed, extended=extended)
    faulty.run(STEPS)
    faulty.recover()


def test_schedules_have_enough_faults():
    """Check that the schedules above can find a bug at all."""
    terms = committed = replaced = reads = crashes = 0
    for seed in range(12):
        faulty = FaultyCluster(seed, extended=False)
        faulty.run(STEPS)
        terms += faulty.cluster.checker.elections.leader_count
        committed += len(faulty.cluster.committed)
        replaced += faulty.cluster.replaced
        reads += faulty.reads_served
        crashes += faulty.crashes_during_writes
    assert terms > 100
    assert committed > 300
    assert replaced > 50
    assert reads > 100
    assert crashes > 20
