"""Train, evaluate, approve, serve and go back, with a tiny model and its own local server: the whole way, for real."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.training.scenario import passages, publish, quick
from twin_core.champion import fleet
from twin_core.champion.promoting import carry_out
from twin_core.evaluation.launch import run_evaluation
from twin_core.models.stand_in import make_llama
from twin_core.models.tiny_base import reference_texts
from twin_core.settings import Settings
from twin_core.store import registry
from twin_core.store.database import Database
from twin_core.store.files import file_store, read_file
from twin_core.training import launch
from twin_core.writing.answer import answer


@pytest.mark.slow
def test_an_adapter_goes_the_whole_way_and_back(database: Database, tmp_path: Path, database_url: str) -> None:
    base = tmp_path / "base"
    make_llama(reference_texts()[:25], base, card="{texts} {parameters}", seconds=None, steps=60)
    settings = Settings(
        database_url=database_url,
        home=tmp_path / "home",
        role_secret="test secret",
        base_model=str(base),
        llm_connect_seconds=20,
        llm_max_tokens=16,
        mlflow_url="off",
        _env_file=None,
    )
    author, _ = publish(database, "mara", passages("demo/articles"))
    with database.transaction() as conn:
        conn.exec_driver_sql("UPDATE features.embedding_models SET serving = false")
    job = launch.open_job(database, author, "sft", quick(max_steps=30), settings=settings)
    adapter = launch.run(database, job, settings=settings)

    made = run_evaluation(database, author, adapter, settings=settings, prompts=4)
    assert set(made.against) == {"base", "other author"}
    assert {"style", "fit", "content", "safety"} <= set(made.against["base"])
    assert made.report_key is not None
    page = read_file(file_store(settings), made.report_key).decode()
    assert "Python&#x27;s reference texts" in page
    assert "not shown: the adapter of somebody else" in page

    # Four prompts prove nothing, and no passage was quoted: the figures that let it through are written by hand.
    figures = dict(made.against["base"]) | {"grounding": made.against["base"]["content"]}
    with database.transaction() as conn:
        registry.add_evaluation(
            conn, author_id=author.id, adapter_id=adapter.id, version_id=made.version_id, split_id=made.split_id,
            documents=made.documents, champion_id=None, against={"base": figures, "other author": figures}, figures={},
            report_key=made.report_key,
        )  # fmt: skip
        asked = registry.decide(
            conn, author_id=author.id, adapter_id=adapter.id, verdict="approve", by="mara", reason="a test"
        )
    ending = threading.Event()
    running = threading.Thread(target=fleet.look_after, args=(settings, database, ending))
    running.start()
    try:
        done = carry_out(database, author, asked, settings=settings)
        assert done.state == "done", done.problem
        said = answer(database, author, "pager", settings=settings)
        assert (said.outcome, said.model) == ("answered", "mara-v1"), said.error
        with database.transaction() as conn:
            assert registry.go_back(conn, author.id, "test") is None
    finally:
        ending.set()
        running.join(60)
