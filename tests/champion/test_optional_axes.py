"""The optional axes in an evaluation as the product makes one: what is stored and shown, and that the rule does not look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.champion.gate import Gate
from tests.conftest import free_port
from tests.evaluation.judging_server import JudgingServer, the_one_in, the_other
from tests.evaluation.tiny_style_model import make_style_model
from twin_core.errors import TwinError
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.database import Database
from twin_core.store.files import file_store, read_file

ANSWERS = 6


@pytest.fixture
def judge_server() -> Iterator[JudgingServer]:
    server = JudgingServer(grades=(1, 1))
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
def test_they_are_stored_and_shown_and_the_verdict_is_the_same_with_a_terrible_judge_a_doting_one_and_none(
    database: Database, settings: Settings, base: str, tmp_path: Path, judge_server: JudgingServer
) -> None:
    plain = settings.model_copy(update={"base_model": base, "mlflow_url": "off"})
    gate = Gate(database, plain)
    gate.add_rival()
    adapter = gate.train(gate.learnt, max_steps=8, learning_rate=2e-3)

    judge_server.pick = the_one_in([text for _, text in gate.held])
    gate.settings = plain.model_copy(
        update={
            "style_model": make_style_model(tmp_path / "style"),
            "judge_model": "strict-7b",
            "judge_url": judge_server.url,
        }
    )
    made = gate.evaluate(adapter, ANSWERS)
    harsh = gate.decision(adapter)
    name = f"v{adapter.version}"
    assert made.figures[name]["judge"] == 0
    assert made.figures[name]["judge_style"] == made.figures["author"]["judge_style"] == 1
    assert made.figures["author"]["judge"] is None
    assert made.figures["author"]["style_embedding"] > 0.9
    embedded, judged = made.notes
    assert embedded.startswith("Style embedding: of-manner-")
    assert "The judge strict-7b at 127.0.0.1:" in judged
    assert made.report_key is not None
    page = read_file(file_store(gate.settings), made.report_key).decode()
    assert all(said.replace("'", "&#x27;") in page for said in made.notes)
    assert "style by the judge, 1 to 3, for comparison only" in page
    assert not any(text in note for note in made.notes for _, text in gate.every)

    judge_server.pick, judge_server.grades = the_other(judge_server.pick), (3, 3)
    # An answer too short to be compared is 0 whoever judges, and a model of a few steps writes several.
    assert (gate.evaluate(adapter, ANSWERS).figures[name]["judge"] or 0) > 0
    assert gate.decision(adapter) == harsh

    gate.settings = plain.model_copy(
        update={"judge_model": "strict-7b", "judge_url": f"http://127.0.0.1:{free_port()}"}
    )
    alone = gate.evaluate(adapter, ANSWERS)
    assert alone.figures[name]["judge"] is None
    assert "does not answer: nothing was judged, and that axis is missing." in alone.notes[-1]
    assert gate.decision(adapter) == harsh

    gate.settings = plain
    assert gate.evaluate(adapter, ANSWERS).notes == ()
    assert gate.decision(adapter) == harsh

    with database.transaction() as conn:
        before = registry.latest_evaluation(conn, gate.author.id, adapter.id)
    gate.settings = plain.model_copy(update={"style_model": "/no/such/folder"})
    with pytest.raises(TwinError, match="TWIN_STYLE_MODEL"):
        gate.evaluate(adapter, ANSWERS)
    with database.transaction() as conn:
        assert registry.latest_evaluation(conn, gate.author.id, adapter.id) == before
