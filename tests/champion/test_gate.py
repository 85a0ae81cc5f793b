"""The gate with adapters that were really trained: what is refused whatever the figures. Those that need figures: `benchmarks/gate.py`."""

from __future__ import annotations

import pytest

from tests.champion.gate import Gate, altered, others_passages
from twin_core.promotion import Verdict
from twin_core.settings import Settings
from twin_core.store.database import Database


@pytest.fixture
def gate(database: Database, settings: Settings, base: str) -> Gate:
    return Gate(database, settings.model_copy(update={"base_model": base, "mlflow_url": "off"}))


ANSWERS = 8
"""What is refused here is refused whatever the figures are."""


@pytest.mark.slow
def test_what_no_figure_can_make_good_is_refused_for_its_own_reason(gate: Gate) -> None:
    gate.add_rival()
    gate.serve(gate.train(gate.learnt, max_steps=2))
    sound = gate.train(gate.learnt, max_steps=2, seed=1)
    gate.evaluate(sound, ANSWERS)
    found = gate.decision(sound)
    assert (found.verdict, "8 held-out documents" in found.reasons[0]) == (Verdict.INSUFFICIENT_EVIDENCE, True)

    somebodys = gate.train(altered(gate.learnt, others_passages()), max_steps=2)
    gate.evaluate(somebodys, ANSWERS)
    found = gate.decision(somebodys)
    assert (found.verdict, "not by the hand" in found.reasons[0]) == (Verdict.REFUSED, True)

    later = gate.train(gate.learnt, held=gate.held[1:], max_steps=2, seed=2)
    gate.evaluate(later, ANSWERS)
    # The champion was measured beside the later one, on other documents than beside the sound one.
    elsewhere = gate.decision(sound)
    assert (elsewhere.verdict, "another test split" in elsewhere.reasons[0]) == (Verdict.REFUSED, True)

    gate.forget(gate.learnt[0][0])
    forgotten = gate.decision(later)
    assert (forgotten.verdict, "was forgotten on" in forgotten.reasons[0]) == (Verdict.REFUSED, True)
