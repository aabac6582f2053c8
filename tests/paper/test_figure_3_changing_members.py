"""Figure 3 under membership changes, lost disks, compaction and snapshots.

It adds §6, §7 and §4 of the dissertation to the faults of `test_figure_3_random_schedules`. One disk is lost at a time,
and only if a majority of every configuration in use remains.
"""

from dataclasses import replace

import pytest

from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import EntryKind
from tests.paper.test_figure_3_random_schedules import EXTENDED, STEPS, FaultyCluster
from tests.support.changing import ChangingCluster, address_of

ALL = "abcdefg"
CHANGING = replace(EXTENDED, snapshot_chunk_bytes=100, tail_entries_max=2)


class ChangingFaultyCluster(FaultyCluster):
    """Adds membership changes, snapshots and lost disks to the faults."""

    cluster: ChangingCluster

    def __init__(self, seed: int) -> None:
        super().__init__(seed, extended=True)
        self.wiped = 0
        self.actions += [
            (8.0, self.snapshot),
            (5.0, self.change),
            (4.0, self.wipe),
            (4.0, self.read_anywhere),
            (10.0, self.propose),
        ]

    def build(self, seed, voters, *, extended):
        config = replace(CHANGING, lease_reads=extended and self.random.random() < 0.5)
        cluster = ChangingCluster(voters, seed=seed, config=config)
        for node_id in ALL:
            if node_id not in voters:
                cluster.add(node_id, peers=voters)
        return cluster

    def snapshot(self) -> None:
        for raft in self.cluster.running:
            if self.random.random() < 0.3:
                self.cluster.snapshot(raft.node_id)

    def change(self) -> None:
        node_id = self.random.choice(ALL)
        add = AddLearner(node_id, address_of(node_id), self.random.random() < 0.7)
        change = self.random.choice([add, add, Promote(node_id), Remove(node_id), Remove(node_id)])
        for raft in self.cluster.running:
            if isinstance(change, Remove) and node_id in raft.voters and len(raft.voters) <= 3:
                continue  # two voters tolerate no loss
            try:
                raft.change_members(change, self.cluster.now)
            except (NotLeaderError, ChangeRefusedError):
                continue
            self.carry_out(raft.node_id)

    def wipe(self) -> None:
        leader = self.cluster.leader
        if leader is not None and self.tolerates_a_loss(leader):
            self.wiped += 1
            node_id = self.random.choice(leader.voters)
            self.cluster.wipe(node_id)
            self.forget_reads(node_id)

    def tolerates_a_loss(self, leader: Raft) -> bool:
        """Return whether a majority of every configuration in use remains if one voter is lost for good."""
        configuration = leader.configuration
        members = [self.cluster.members[member.node_id].raft for member in configuration.members]
        has_committed = leader.log.term_at(leader.commit_index) == leader.current_term
        agreed = all(raft is not None and raft.configuration == configuration for raft in members)
        alive = all(self.incarnation_of(member.node_id) == member.incarnation for member in configuration.members)
        return has_committed and agreed and alive and not configuration.is_joint and len(configuration.voters) > 2

    def incarnation_of(self, node_id: str) -> int:
        raft = self.cluster.members[node_id].raft
        return raft.incarnation if raft else 0

    def forget_reads(self, node_id: str) -> None:
        self.committed_before = {read: index for read, index in self.committed_before.items() if read[0] != node_id}

    def read_anywhere(self) -> None:
        raft = self.random.choice(self.cluster.running) if self.cluster.running else None
        if raft is not None and raft.leader is not None:
            self.committed_before[raft.node_id, raft.read_index(any_node=True)] = len(self.cluster.committed)
            self.carry_out(raft.node_id)

    def recover(self) -> None:
        """With all faults over, the cluster makes progress, and all nodes apply the same entries."""
        self.cluster.heal()
        for node_id, member in self.cluster.members.items():
            if member.raft is None:
                self.cluster.start(node_id)
        self.cluster.run(15.0)
        leader = self.cluster.leader
        assert leader is not None, "no leader after the faults were over"
        configuration = leader.configuration
        assert not configuration.is_joint
        assert not configuration.to_promote
        assert {m.node_id: self.incarnation_of(m.node_id) for m in configuration.members} == {
            m.node_id: m.incarnation for m in configuration.members
        }
        last = self.cluster.propose(leader.node_id, b"last")
        self.cluster.run(1.0)
        for member in configuration.members:
            assert len(self.cluster.members[member.node_id].applied) == last.index, member.node_id


@pytest.mark.parametrize("seed", range(25))
def test_figure_3_properties_hold_during_membership_changes(seed):
    """Figure 3, §6, §7, dissertation §4: no change affects safety."""
    faulty = ChangingFaultyCluster(seed)
    faulty.run(STEPS)
    faulty.recover()


def test_schedules_have_enough_changes():
    """Check that the schedules above can find a bug at all."""
    committed = configurations = wiped = installed = reads = 0
    for seed in range(25):
        faulty = ChangingFaultyCluster(seed)
        faulty.run(STEPS)
        entries = faulty.cluster.committed
        committed += len(entries)
        configurations += sum(entry.kind is EntryKind.CONFIGURATION for entry in entries)
        wiped += faulty.wiped
        installed += faulty.cluster.installed
        reads += faulty.reads_served
    counts = committed, configurations, wiped, installed, reads
    assert committed > 300, counts
    assert configurations > 50
    assert wiped > 5
    assert installed > 10
    assert reads > 100
