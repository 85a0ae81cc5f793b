"""What the embed stage stores: one vector per passage, computed once per text, of the model that serves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.features.scenario import ROPES, TIDES, Bench, article
from twin_core.errors import InvalidInput, NotFound, ValidationFailed
from twin_core.features import embed as embed_stage
from twin_core.features.indexes import ensure_vector_index
from twin_core.models.embedder import Embedder
from twin_core.models.embedding_model import embedding_model
from twin_core.store import vectors as store


def test_every_passage_gets_a_vector_of_length_one(bench: Bench) -> None:
    bench.prepare(article("a", TIDES), article("b", ROPES))
    report = bench.embed()
    assert (report.done, report.rows, report.reused) == (2, bench.count("chunks"), 0)
    assert bench.rows("SELECT count(*) FROM features.embeddings WHERE abs(l2_norm(embedding) - 1) > 0.01") == [(0,)]
    model = embedding_model(bench.settings)
    assert bench.rows("SELECT id, dimension, serving FROM features.embedding_models") == [(model.id, 384, True)]


def test_a_second_run_embeds_nothing_and_loads_no_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.prepare(article("a", TIDES))
    bench.embed()
    monkeypatch.setattr(Embedder, "encode", None)
    report = bench.embed()
    assert (report.done, report.rows, report.reused, report.unchanged) == (0, 0, 0, 1)


def test_only_passages_whose_text_is_new_are_embedded_after_an_edit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "\n\n".join(
        f"## Part {number}\n\n" + f"Sentence {number} about the sea and the shore. " * 20 for number in range(4)
    )
    bench.prepare(article("a", f"# A\n\n{long}"))
    bench.embed()
    encoded = _counting(monkeypatch)
    bench.prepare(article("a", f"# A\n\n{long}\n\n## Part 4\n\nWritten today."))
    report = bench.embed()
    assert report.rows == len(encoded) <= 2
    assert bench.count("embeddings") == bench.count("chunks")


def test_equal_texts_share_one_computation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = _counting(monkeypatch)
    bench.prepare(article("a", f"{ROPES}\nOne."), article("b", TIDES))
    bench.embed()
    with bench.database.transaction() as conn:
        store.write_vectors(conn, bench.author.id, "none", [])  # nothing to write is nothing written
    assert len(encoded) == bench.count("chunks")


def test_a_run_that_is_killed_keeps_what_it_committed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.prepare(*(article(f"n{number}", f"# Note {number}\n\nText {number}.\n") for number in range(5)))
    monkeypatch.setattr(embed_stage, "COMMIT_TEXTS", 2)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_stage.embed_author(bench.database, bench.author, settings=bench.settings, progress=killed)
    assert bench.count("embeddings") == 2
    assert bench.embed().rows == 3


def test_a_vector_that_is_not_one_is_not_stored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.prepare(article("a", ROPES))
    monkeypatch.setattr(Embedder, "encode", lambda self, texts: np.full((len(texts), 384), 1.0, dtype=np.float32))
    with pytest.raises(ValidationFailed, match="length"):
        bench.embed()
    assert bench.count("embeddings") == 0


@pytest.mark.parametrize("vectors", [np.zeros((2, 384)), np.full((1, 384), np.nan), np.zeros((1, 3))])
def test_shape_and_values_are_checked(vectors: np.ndarray) -> None:
    with pytest.raises(ValidationFailed):
        embed_stage.validate(vectors.astype(np.float32), 1, 384)


def test_a_second_model_is_filled_beside_the_first_and_switched_to_at_once(bench: Bench) -> None:
    with bench.database.transaction() as conn:
        store.register_model(conn, "first", 3)
        store.register_model(conn, "second", 4)
        assert store.serving_model(conn) == "first"
        store.switch_serving(conn, "second")
        assert store.serving_model(conn) == "second"
        store.switch_serving(conn, "first")
        assert store.serving_model(conn) == "first"
        with pytest.raises(NotFound):
            store.switch_serving(conn, "third")
        assert store.serving_model(conn) == "first"
        with pytest.raises(InvalidInput, match="dimensions"):
            store.register_model(conn, "first", 5)


def test_a_large_author_gets_an_index_once_and_it_is_recorded(bench: Bench) -> None:
    bench.prepare(*(article(f"n{number}", f"# Note {number}\n\nText {number}.\n") for number in range(4)))
    model = embedding_model(bench.settings).id
    few = bench.settings.model_copy(update={"search_exact_below": 4})
    many = bench.settings.model_copy(update={"search_exact_below": 5})
    bench.embed()
    assert not ensure_vector_index(bench.database, bench.author.id, model, settings=many)
    assert ensure_vector_index(bench.database, bench.author.id, model, settings=few)
    assert not ensure_vector_index(bench.database, bench.author.id, model, settings=few)
    (definition,) = bench.rows("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'embeddings_hnsw%'")
    for part in (
        "hnsw",
        "halfvec(384)",
        "halfvec_cosine_ops",
        "m='16'",
        "ef_construction='64'",
        str(bench.author.id),
        model,
    ):
        assert part in str(definition[0])
    assert bench.rows("SELECT action FROM features.maintenance") == [("vector index",)]


def _counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    encoded: list[str] = []
    encode = Embedder.encode

    def counted(self: Embedder, texts: list[str]) -> object:
        encoded.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(Embedder, "encode", counted)
    return encoded
