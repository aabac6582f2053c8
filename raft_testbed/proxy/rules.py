"""What happens to messages: rules by name, each with an end, and counts of what they did. Nothing is sent here."""

from collections import Counter
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Self

from raft_pkg.errors import ConfigurationError

Link = tuple[str, str]
"""Identities of sender and receiver."""
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to messages on some links. Several rules for one link add up."""

    links: tuple[Link, ...]
    """Sender and receiver of each; `*` stands for everybody."""
    drop: float = 0.0
    """Share of messages that are lost: 1 is a cut."""
    duplicate: float = 0.0
    """Share of messages that are sent twice, the second after another delay."""
    delay_ms_min: float = 0.0
    """Each message waits for a time of its own between the two, so that later ones may overtake it."""
    delay_ms_max: float = 0.0
    bytes_per_second: float = 0.0
    """Bandwidth of each link; 0: without limit."""
    reset_every_ms: float = 0.0
    """The links' streams are broken about so often; 0: not at all."""

    def __post_init__(self) -> None:
        if not self.links:
            raise ConfigurationError("a rule needs at least one link, FROM>TO")
        for name in ("drop", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name}: {getattr(self, name)} is not a share between 0 and 1")
        for name in ("delay_ms_min", "bytes_per_second", "reset_every_ms"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name}: {getattr(self, name)} is below 0")
        if self.delay_ms_max < self.delay_ms_min:
            raise ConfigurationError(f"delay_ms_max: {self.delay_ms_max} is below delay_ms_min, {self.delay_ms_min}")

    def concerns(self, link: Link) -> bool:
        return any(source in (EVERYBODY, link[0]) and target in (EVERYBODY, link[1]) for source, target in self.links)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Raises `ConfigurationError` for what is no rule."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(content.keys() - known):
            raise ConfigurationError(
                f"no such member of a rule: {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        try:
            links = tuple((str(source), str(target)) for source, target in content["links"])
            return cls(links, **{name: float(value) for name, value in content.items() if name != "links"})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"not a rule: {error!r}") from None

    def to_json(self) -> dict[str, Any]:
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**content, "links": [list(link) for link in self.links]}


@dataclass(slots=True)
class Network:
    """Rules that hold now, and what they did. Time is seconds of a monotonic clock, given by the caller."""

    rng: Random = field(default_factory=Random)
    counts: dict[Link, Counter[str]] = field(default_factory=dict)
    """Of each link: messages, dropped, duplicated, delayed, unreachable, resets."""
    _rules: dict[str, tuple[Rule, float]] = field(default_factory=dict)
    _free_at: dict[Link, float] = field(default_factory=dict)

    def set_rule(self, name: str, rule: Rule, until: float) -> None:
        """From now on, until then, this holds; a rule that had the name goes."""
        self._rules[name] = (rule, until)

    def clear(self, name: str | None = None) -> list[str]:
        """Take back a rule, or all; returns the names of those that there were."""
        gone = [known for known in self._rules if name in (None, known)]
        for known in gone:
            del self._rules[known]
        return gone

    def rules(self, now: float) -> dict[str, tuple[Rule, float]]:
        """Those that hold, and until when."""
        for name in [name for name, (_, until) in self._rules.items() if until <= now]:
            del self._rules[name]
        return dict(self._rules)

    def count(self, link: Link, what: str) -> None:
        self.counts.setdefault(link, Counter())[what] += 1

    def fate(self, link: Link, size: int, now: float) -> list[float]:
        """After how many seconds a message of so many bytes is to be sent on: never (empty), once, or twice."""
        self.count(link, "messages")
        rules = self._of(link, now)
        if any(self.rng.random() < rule.drop for rule in rules):
            self.count(link, "dropped")
            return []
        times = [self._delay(link, rules, size, now)]
        if any(self.rng.random() < rule.duplicate for rule in rules):
            self.count(link, "duplicated")
            times.append(self._delay(link, rules, size, now))
        if times[0]:
            self.count(link, "delayed")
        return times

    def reset_delay(self, link: Link, now: float) -> float | None:
        """Seconds to the next break of a stream that begins now; None: no rule breaks it."""
        intervals = [rule.reset_every_ms / 1000 for rule in self._of(link, now) if rule.reset_every_ms]
        return self.rng.uniform(0.5, 1.5) * min(intervals) if intervals else None

    def _of(self, link: Link, now: float) -> list[Rule]:
        return [rule for rule, until in self._rules.values() if until > now and rule.concerns(link)]

    def _delay(self, link: Link, rules: list[Rule], size: int, now: float) -> float:
        delay = sum(self.rng.uniform(rule.delay_ms_min, rule.delay_ms_max) / 1000 for rule in rules)
        rates = [rule.bytes_per_second for rule in rules if rule.bytes_per_second]
        if rates:
            self._free_at[link] = max(self._free_at.get(link, 0.0), now) + size / min(rates)
            delay += self._free_at[link] - now
        return delay
