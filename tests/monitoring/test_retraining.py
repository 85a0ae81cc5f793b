"""When a twin learns again, told trigger by trigger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from twin_core.monitoring.drift import Drift
from twin_core.monitoring.retraining import COOLDOWN, LONGEST, Facts, Votes, advise, needed

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUIET = Facts(now=NOW, new_examples=37, learnt_examples=300, last_at=NOW - timedelta(days=20))
MOVED = Drift(p=0.002, shift=0.4, shift_by_chance=0.1, length_psi=0.05, length_by_chance=0.4)


def test_enough_that_is_new_is_fifty_or_a_tenth() -> None:
    assert (needed(0), needed(300), needed(2000)) == (50, 50, 200)
    assert advise(QUIET).reason == "37 of 50 new examples"
    assert not advise(QUIET).train
    assert advise(replace(QUIET, new_examples=50)).train
    assert not advise(replace(QUIET, new_examples=50, learnt_examples=2000)).train


def test_nothing_is_trained_within_the_cooldown_whatever_is_new() -> None:
    busy = replace(QUIET, new_examples=500, last_at=NOW - COOLDOWN + timedelta(minutes=1))
    assert not advise(busy).train
    assert "not again before 2026-05-01 12:01" in advise(busy).reason
    assert advise(replace(busy, now=NOW + timedelta(minutes=2))).train


def test_drift_age_and_fewer_that_like_it_are_reasons_when_there_is_something_to_learn() -> None:
    assert "moved on" in advise(replace(QUIET, drift=MOVED)).reason
    assert advise(replace(QUIET, last_at=NOW - LONGEST - timedelta(days=1))).reason == "the last adapter is 91 days old"
    disliked = replace(QUIET, before=Votes(up=90, down=10), lately=Votes(up=12, down=13))
    assert advise(disliked).reason == "answers are liked less: 12 of 25 lately, 90% before"
    assert not advise(replace(disliked, lately=Votes(up=5, down=6))).train, "eleven votes say nothing"
    for one in (replace(QUIET, drift=MOVED), disliked):
        assert not advise(replace(one, new_examples=3)).train


def test_before_the_first_adapter_only_the_count_matters() -> None:
    first = Facts(now=NOW, new_examples=49, learnt_examples=0, last_at=None, drift=MOVED)
    assert advise(first).reason == "49 of 50 new examples"
    assert advise(replace(first, new_examples=50)).train
