"""Rules for messages on links, each with a name and an expiry, and counts of their effects. Performs no I/O."""

from collections import Counter
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Self

from raft_pkg.errors import ConfigurationError

Link = tuple[str, str]
"""Identities of sender and receiver."""
ANY_NODE = "*"


@dataclass(frozen=True, slots=True)
class LinkRule:
    """Faults of some links. Several rules for one link add up."""

    links: tuple[Link, ...]
    """Sender and receiver of each link; `*` stands for any node."""
    drop: float = 0.0
    """Share of messages to drop; 1: a partition."""
    duplicate: float = 0.0
    """Share of messages to send twice, each time with its own delay."""
    delay_ms_min: float = 0.0
    """Bounds of the delay; each message has its own random delay, so that messages are reordered."""
    delay_ms_max: float = 0.0
    bytes_per_second: float = 0.0
    """Bandwidth of each link; 0: unlimited."""
    reset_every_ms: float = 0.0
    """Mean interval between resets of the links' streams; 0: no resets."""

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

    def applies_to(self, link: Link) -> bool:
        """Return whether one of the rule's links includes this link."""
        return any(source in (ANY_NODE, link[0]) and target in (ANY_NODE, link[1]) for source, target in self.links)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the rule in a JSON object. Raise `ConfigurationError` if it is malformed."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(content.keys() - known):
            raise ConfigurationError(f"rule: unknown member: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        try:
            links = tuple((str(source), str(target)) for source, target in content["links"])
            return cls(links, **{name: float(value) for name, value in content.items() if name != "links"})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"malformed rule: {error!r}") from None

    def to_json(self) -> dict[str, Any]:
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**content, "links": [list(link) for link in self.links]}


@dataclass(slots=True)
class Network:
    """The active rules and their effects. The caller passes the time, in seconds of a monotonic clock."""

    rng: Random = field(default_factory=Random)
    counts: dict[Link, Counter[str]] = field(default_factory=dict)
    """Counts for each link: messages, dropped, duplicated, delayed, unreachable, resets."""
    _rules: dict[str, tuple[LinkRule, float]] = field(default_factory=dict)
    _free_at: dict[Link, float] = field(default_factory=dict)

    def set_rule(self, name: str, rule: LinkRule, until: float) -> None:
        """Activate a rule until a time; replace the rule of the same name."""
        self._rules[name] = (rule, until)

    def clear(self, name: str | None = None) -> list[str]:
        """Remove a rule, or all rules; return the names of the removed ones."""
        removed = [known for known in self._rules if name in (None, known)]
        for known in removed:
            del self._rules[known]
        return removed

    def rules(self, now: float) -> dict[str, tuple[LinkRule, float]]:
        """Return the active rules by name, each with its expiry."""
        for name in [name for name, (_, until) in self._rules.items() if until <= now]:
            del self._rules[name]
        return dict(self._rules)

    def count(self, link: Link, effect: str) -> None:
        """Count one effect on a link."""
        self.counts.setdefault(link, Counter())[effect] += 1

    def delays(self, link: Link, size: int, now: float) -> list[float]:
        """Return the delays, in seconds, after which to forward a message of `size` bytes.

        Empty: the message is dropped. Two delays: it is duplicated.
        """
        self.count(link, "messages")
        rules = self._of(link, now)
        if any(self.rng.random() < rule.drop for rule in rules):
            self.count(link, "dropped")
            return []
        delays = [self._delay(link, rules, size, now)]
        if any(self.rng.random() < rule.duplicate for rule in rules):
            self.count(link, "duplicated")
            delays.append(self._delay(link, rules, size, now))
        if delays[0]:
            self.count(link, "delayed")
        return delays

    def reset_delay(self, link: Link, now: float) -> float | None:
        """Return the seconds until a stream opened now is reset; None: no rule resets it."""
        intervals = [rule.reset_every_ms / 1000 for rule in self._of(link, now) if rule.reset_every_ms]
        return self.rng.uniform(0.5, 1.5) * min(intervals) if intervals else None

    def _of(self, link: Link, now: float) -> list[LinkRule]:
        return [rule for rule, until in self._rules.values() if until > now and rule.applies_to(link)]

    def _delay(self, link: Link, rules: list[LinkRule], size: int, now: float) -> float:
        delay = sum(self.rng.uniform(rule.delay_ms_min, rule.delay_ms_max) / 1000 for rule in rules)
        rates = [rule.bytes_per_second for rule in rules if rule.bytes_per_second]
        if rates:
            self._free_at[link] = max(self._free_at.get(link, 0.0), now) + size / min(rates)
            delay += self._free_at[link] - now
        return delay
