"""The fault schedule of a run: which faults begin when, and how long they last."""

from dataclasses import dataclass
from random import Random

from raft_testbed.simulation.faults import FAULTS, MEMBERSHIP_CHANGES
from raft_testbed.simulation.parameters import Parameters


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault of the schedule. Times in seconds; `seed` seeds the fault's own rng."""

    number: int
    name: str
    begins: float
    lasts: float
    seed: str

    def __str__(self) -> str:
        return f"#{self.number} {self.name} from {self.begins:.3f} for {self.lasts:.3f} s"


def draw_schedule(seed: int, parameters: Parameters) -> list[ScheduledFault]:
    """Draw the fault schedule of a seed, in the order in which the faults begin."""
    rng = Random(f"{seed} faults")
    names = rng.sample(list(FAULTS), rng.randint(3, len(FAULTS)))
    if rng.random() < 0.5:
        names += [MEMBERSHIP_CHANGES] * (1 + len(names) // 4)
    begins = sorted(rng.uniform(0.2, parameters.faulty_seconds) for _ in range(parameters.faults))
    return [
        ScheduledFault(number, rng.choice(names), time, min(rng.expovariate(3.0), 2.0), f"{seed} fault {number}")
        for number, time in enumerate(begins)
    ]
