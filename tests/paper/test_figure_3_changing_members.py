"""Figure 3 while everything changes: members come, go and lose their disks, logs are compacted, snapshots installed.

The hostile world of `test_figure_3_random_schedules`, with §6, §7 and the dissertation's §4 in it. One disk is lost at
a time, and only while a majority by every configuration that anybody goes by stays.
"""

from dataclasses import replace

import pytest

from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import EntryKind
from tests.paper.test_figure_3_random_schedules import EXTENDED, STEPS, HostileWorld
from tests.support.changing import ChangingCluster, address_of

ALL = "abcdefg"
CHANGING = replace(EXTENDED, snapshot_chunk_bytes=100, tail_entries_max=2)


class ChangingWorld(HostileWorld):
    """Adds what changes to what breaks."""

    cluster: ChangingCluster

    def __init__(self, seed: int) -> None:
        super().__init__(seed, extended=True)
        self.wiped = 0
        self.deeds += [
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
                continue  # two voters bear no loss
            try:
                raft.change_members(change, self.cluster.now)
            except (NotLeaderError, ChangeRefusedError):
                continue
            self.carry_out(raft.node_id)

    def wipe(self) -> None:
        leader = self.cluster.leader
        if leader is not None and self.bears_a_loss(leader):
            self.wiped += 1
            node_id = self.random.choice(leader.voters)
            self.cluster.wipe(node_id)
            self.forget_reads(node_id)

    def bears_a_loss(self, leader: Raft) -> bool:
        """Whether a majority by every configuration that anybody goes by stays when one voter is lost for ever."""
        configuration = leader.configuration
        members = [self.cluster.members[member.node_id].raft for member in configuration.members]
        settled = leader.log.term_at(leader.commit_index) == leader.current_term
        agreed = all(raft is not None and raft.configuration == configuration for raft in members)
        alive = all(self.incarnation_of(member.node_id) == member.incarnation for member in configuration.members)
        return settled and agreed and alive and not configuration.is_joint and len(configuration.voters) > 2

    def incarnation_of(self, node_id: str) -> int:
        raft = self.cluster.members[node_id].raft
        return raft.incarnation if raft else 0

    def forget_reads(self, node_id: str) -> None:
        self.must_see = {read: index for read, index in self.must_see.items() if read[0] != node_id}

    def read_anywhere(self) -> None:
        raft = self.random.choice(self.cluster.running) if self.cluster.running else None
        if raft is not None and raft.leader is not None:
            self.must_see[raft.node_id, raft.read_index(any_node=True)] = len(self.cluster.properties.committed)
            self.carry_out(raft.node_id)

    def end_well(self) -> None:
        """With the faults over, whoever lost its disk is a voter again, and all members apply the same."""
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
def test_the_properties_of_figure_3_hold_while_members_change(seed):
    """Figure 3, §6, §7, dissertation §4: nothing that changes may cost safety."""
    world = ChangingWorld(seed)
    world.run(STEPS)
    world.end_well()


def test_the_schedules_change_enough():
    """A check of the check."""
    committed = configurations = wiped = installed = reads = 0
    for seed in range(25):
        world = ChangingWorld(seed)
        world.run(STEPS)
        entries = world.cluster.properties.committed
        committed += len(entries)
        configurations += sum(entry.kind is EntryKind.CONFIGURATION for entry in entries)
        wiped += world.wiped
        installed += world.cluster.installed
        reads += world.reads_answered
    figures = committed, configurations, wiped, installed, reads
    assert committed > 300, figures
    assert configurations > 50
    assert wiped > 5
    assert installed > 10
    assert reads > 100
