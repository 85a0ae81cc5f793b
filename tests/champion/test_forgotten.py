"""What becomes of an adapter's copies when a document that it learnt is forgotten, and when its author is."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.champion.lora_server import LoraServer
from tests.champion.scenario import Bench
from tests.retrieval.scenario import Given, fill
from twin_core import forgetting
from twin_core.champion.promoting import carry_out
from twin_core.errors import ServiceUnavailable
from twin_core.forgetting import Counted, Receipt
from twin_core.models import copies
from twin_core.models.adapter_files import adapter_folder
from twin_core.records import Split
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.authors import list_authors
from twin_core.store.files import file_store
from twin_core.warehouse.postgres import PostgresWarehouse
from twin_core.writing.answer import answer

COPIES = "copies of adapters"


def document(bench: Bench) -> UUID:
    """One that every adapter of the bench learnt."""
    with bench.database.transaction() as conn:
        found = conn.execute(
            text("SELECT document_id FROM training.dataset_documents WHERE split = :side ORDER BY document_id LIMIT 1"),
            {"side": Split.TRAIN},
        )
        return UUID(str(found.scalar_one()))


def forget(bench: Bench, *documents: UUID) -> Receipt:
    warehouse = PostgresWarehouse(bench.database)
    return forgetting.forget(bench.database, warehouse, bench.author, documents, settings=bench.settings)


def promote(bench: Bench, adapter: Adapter, champion: Adapter | None = None) -> None:
    bench.evaluate(adapter, champion=champion)
    done = carry_out(bench.database, bench.author, bench.approve(adapter), settings=bench.settings)
    assert done.state == "done", done.problem


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def states(bench: Bench) -> dict[str, str]:
    with bench.database.transaction() as conn:
        return {one.served_name: one.state for one in registry.deployments(conn, bench.author.id)}


def test_forgetting_removes_every_copy_but_the_one_that_serves_which_says_that_it_is_tainted(
    bench: Bench, engine: LoraServer
) -> None:
    shared = bench.settings.llm_adapters
    assert shared is not None
    first, second = bench.adapter("one"), bench.adapter("two")
    promote(bench, first)
    promote(bench, second, champion=first)
    unpacked = adapter_folder(file_store(bench.settings), first, bench.settings.home / "models")
    checkpoints = bench.settings.home.absolute() / "training" / str(bench.author.id) / "one"
    checkpoints.mkdir(parents=True)
    assert names(shared) == set(engine.loaded) == {"ann-v1", "ann-v2"}

    receipt = forget(bench, document(bench))
    assert receipt.stores[COPIES] == Counted(before=3, after=0)
    assert not unpacked.exists()
    assert not checkpoints.exists()
    assert names(shared) == set(engine.loaded) == {"ann-v2"}
    assert states(bench) == {"ann-v1": "stopped", "ann-v2": "serving"}
    with bench.database.transaction() as conn:
        assert registry.standing(conn, bench.author.id).tainted
        assert {one.tainted_at is not None for one in adapters.list_adapters(conn, bench.author.id)} == {True}
    assert answer(bench.database, bench.author, "note", settings=bench.settings).text.startswith("ann-v2")
    with bench.database.transaction() as conn:
        assert registry.go_back(conn, bench.author.id, "test") is None, "what may not serve can always be left"
    copies.purge(bench.database, bench.settings, bench.author.id)
    assert (names(shared), engine.loaded) == (set(), {})


def test_the_one_that_serves_goes_with_its_copies_once_another_serves(bench: Bench, engine: LoraServer) -> None:
    shared = bench.settings.llm_adapters
    assert shared is not None
    first = bench.adapter("one")
    promote(bench, first)
    forget(bench, document(bench))
    with bench.database.transaction() as conn:  # a version without the document, which was made since
        conn.exec_driver_sql(
            "INSERT INTO training.dataset_versions (id, author_id, kind, input_hash, examples, manifest) "
            "SELECT 'clean', author_id, kind, 'clean', examples, manifest FROM training.dataset_versions"
        )
    second = bench.adapter("two", version_id="clean")
    promote(bench, second, champion=first)
    assert copies.count(bench.database, bench.settings, bench.author.id) == 1
    copies.purge(bench.database, bench.settings, bench.author.id)
    assert names(shared) == set(engine.loaded) == {"ann-v2"}
    assert states(bench) == {"ann-v1": "stopped", "ann-v2": "serving"}


def test_a_server_that_does_not_answer_leaves_the_request_open_until_it_does(bench: Bench, engine: LoraServer) -> None:
    first, second = bench.adapter("one"), bench.adapter("two")
    promote(bench, first)
    promote(bench, second, champion=first)
    right = bench.settings
    bench.settings = right.model_copy(update={"llm_url": "http://127.0.0.1:9"})
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        forget(bench, document(bench))
    warehouse = PostgresWarehouse(bench.database)
    (receipt,) = forgetting.resume(bench.database, warehouse, bench.author, settings=right)
    assert receipt.stores[COPIES] == Counted(before=1, after=0)
    assert set(engine.loaded) == {"ann-v2"}


def test_tgi_starts_again_without_what_was_forgotten(bench: Bench, engine: LoraServer, tmp_path: Path) -> None:
    folder = tmp_path / "adapters"
    restart = [
        sys.executable,
        "-c",
        f"import shutil; shutil.copy({str(folder / 'adapters.env')!r}, {str(folder / 'live')!r})",
    ]
    bench.settings = bench.settings.model_copy(update={"llm_engine": "tgi", "llm_restart": restart})
    folder.mkdir()
    engine.env = folder / "live"
    first, second = bench.adapter("one"), bench.adapter("two")
    promote(bench, first)
    promote(bench, second, champion=first)
    assert "ann-v1=" in (folder / "live").read_text()
    forget(bench, document(bench))
    assert (folder / "live").read_text() == f"LORA_ADAPTERS=ann-v2={folder}/ann-v2\n"
    assert names(folder) == {"ann-v2"}


def test_forgetting_the_author_takes_all_copies_and_nobody_elses(bench: Bench, engine: LoraServer) -> None:
    shared = bench.settings.llm_adapters
    assert shared is not None
    first, second = bench.adapter("one"), bench.adapter("two")
    promote(bench, first)
    promote(bench, second, champion=first)
    merged = [copies.merged_folder(bench.settings, name) for name in ("ann-v1", "ann-v2-v1", "anna-v1")]
    for folder in merged:
        folder.mkdir(parents=True)
    fill(bench.database, "ann-v2", [Given(title="hers", text="hers")])
    warehouse = PostgresWarehouse(bench.database)
    receipt = forgetting.forget_author(bench.database, warehouse, bench.author, settings=bench.settings)
    # With the documents go the copies of what does not serve, merged and shared; with the author the one that does.
    assert receipt.stores[COPIES] == Counted(before=2, after=0)
    assert receipt.stores["served copies of adapters"] == Counted(before=1, after=0)
    assert [folder.exists() for folder in merged] == [False, True, True]
    assert (names(shared), engine.loaded) == (set(), {})
    with bench.database.transaction() as conn:
        assert [one.slug for one in list_authors(conn)] == ["ann-v2"]
