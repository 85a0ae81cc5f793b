"""When to learn again: a pure rule over counts, with its reason in words. A person may train at any time (`twin train`).

Any trigger is enough, but none within the cooldown after the last adapter, and none without anything new to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from twin_core.monitoring.drift import Drift

FEWEST_NEW = 50
"""Examples: an adapter from fewer new ones differs from the last by chance more than by learning."""
NEW_SHARE = 0.10
"""Of what the last adapter learnt, when that is more."""
FEWEST_AT_ALL = 10
"""New examples without which neither drift nor feedback nor age is a reason: there would be nothing else to learn."""
COOLDOWN = timedelta(days=1)
LONGEST = timedelta(days=90)
FEWEST_VOTES = 20
Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What people said of answers."""

    up: int
    down: int

    @property
    def total(self) -> int:
        return self.up + self.down

    @property
    def most(self) -> float:
        """Upper 95 % bound of the share that was liked (Wilson 1927)."""
        n = self.total
        share = self.up / n
        middle = share + Z**2 / (2 * n)
        return (middle + Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))) / (1 + Z**2 / n)


NO_VOTES = Votes(up=0, down=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an author when the rule is asked."""

    now: datetime
    new_examples: int
    """Train examples of the current dataset version that the last adapter did not learn."""
    learnt_examples: int
    """Those that it did learn; 0 before the first adapter."""
    last_at: datetime | None
    """When training was last tried, whether or not it came to anything."""
    drift: Drift | None = None
    before: Votes = NO_VOTES
    """Of the champion's answers until thirty days ago, and since."""
    lately: Votes = NO_VOTES


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether to train, and why or why not in words."""

    train: bool
    reason: str


def needed(learnt_examples: int) -> int:
    """New examples that are reason enough by themselves."""
    return max(FEWEST_NEW, round(NEW_SHARE * learnt_examples))


def advise(facts: Facts) -> Advice:
    """Train now, or what is missing."""
    enough = needed(facts.learnt_examples)
    count = f"{facts.new_examples} of {enough} new examples"
    if facts.last_at is not None and facts.now < facts.last_at + COOLDOWN:
        until = facts.last_at + COOLDOWN
        return Advice(train=False, reason=f"{count}; trained a moment ago, not again before {until:%Y-%m-%d %H:%M}")
    if facts.new_examples >= enough:
        return Advice(train=True, reason=count)
    if facts.new_examples < FEWEST_AT_ALL or not facts.learnt_examples:
        return Advice(train=False, reason=count)
    if facts.drift is not None and facts.drift.moved:
        return Advice(train=True, reason=f"the writing has moved on: {facts.drift}")
    if min(facts.before.total, facts.lately.total) >= FEWEST_VOTES:
        usual = facts.before.up / facts.before.total
        if facts.lately.most < usual:
            return Advice(
                train=True,
                reason=f"answers are liked less: {facts.lately.up} of {facts.lately.total} lately, {usual:.0%} before",
            )
    if facts.last_at is not None and facts.now > facts.last_at + LONGEST:
        return Advice(train=True, reason=f"the last adapter is {(facts.now - facts.last_at).days} days old")
    return Advice(train=False, reason=count)
