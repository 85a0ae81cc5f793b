"""What a run of the clean and chunk stages does to the store: exactly what changed, all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.features.scenario import PARSER, ROPES, TIDES, Bench, article, code, post
from twin_core.errors import ValidationFailed
from twin_core.features import chunk as chunk_stage
from twin_core.features import clean as clean_stage
from twin_core.store import chunks as chunk_store
from twin_core.text.lexical import indexed_text


def test_a_first_run_cleans_and_chunks_everything(bench: Bench) -> None:
    cleaned, chunked = bench.prepare(article("tides", TIDES), code("parser", PARSER), post("today", "Fog again."))
    assert (cleaned.done, cleaned.unchanged, cleaned.failed) == (3, 0, 0)
    assert (chunked.done, chunked.unchanged, chunked.rows) == (3, 0, bench.count("chunks"))
    categories = bench.rows("SELECT category, language, title FROM features.cleaned_documents ORDER BY category")
    assert categories == [("article", "en", "Tides"), ("code", "python", "parser.py"), ("post", "en", "Fog again.")]


def test_a_second_run_finds_nothing_to_do_and_says_so(bench: Bench) -> None:
    bench.prepare(article("tides", TIDES), article("ropes", ROPES))
    before = bench.rows("SELECT * FROM features.chunks ORDER BY id")
    cleaned, chunked = bench.clean(), bench.chunk()
    assert (cleaned.done, cleaned.rows, cleaned.unchanged) == (0, 0, 2)
    assert (chunked.done, chunked.rows, chunked.deleted, chunked.unchanged) == (0, 0, 0, 2)
    assert bench.rows("SELECT * FROM features.chunks ORDER BY id") == before


def test_an_edit_an_addition_and_a_deletion_touch_just_those(bench: Bench) -> None:
    bench.prepare(article("a", TIDES), article("b", ROPES), article("c", "# Lamps\n\nTrim the wick before dusk.\n"))
    gone = bench.document_at("c.md")
    bench.sources(article("a", TIDES), article("b", ROPES + "\nMore.\n"), article("d", "# Fog\n\nStay in.\n"))
    cleaned, chunked = bench.clean(), bench.chunk()
    assert (cleaned.done, cleaned.unchanged) == (2, 1)
    assert (chunked.done, chunked.unchanged, chunked.deleted) == (2, 1, 1)
    assert bench.chunks(gone) == {}
    assert (
        bench.rows(
            "SELECT 1 FROM features.postings p LEFT JOIN features.chunks c ON c.key = p.chunk_key WHERE c.key IS NULL"
        )
        == []
    )
    assert bench.count("cleaned_documents") == 5  # the history stays until it is forgotten


def test_an_edit_keeps_rows_and_keys_of_the_passages_it_did_not_touch(bench: Bench) -> None:
    long = "\n\n".join(
        f"## Part {number}\n\n" + f"Sentence {number} about the sea and the shore. " * 20 for number in range(5)
    )
    bench.prepare(article("a", f"# A\n\n{long}"))
    document = bench.document_at("a.md")
    before = bench.chunks(document)
    bench.prepare(article("a", f"# A\n\n{long}\n\n## Part 5\n\nWritten today."))
    after = bench.chunks(document)
    kept = {text: row for text, row in before.items() if text in after}
    assert len(kept) >= 4
    assert all(after[text] == row for text, row in kept.items())
    revisions = bench.rows("SELECT DISTINCT revision_id FROM features.chunks")
    assert revisions == bench.rows("SELECT head_revision_id FROM warehouse.documents")


def test_going_back_to_an_earlier_text_goes_back_to_its_passages(bench: Bench) -> None:
    bench.prepare(article("a", TIDES))
    first = bench.rows("SELECT id, text FROM features.chunks ORDER BY id")
    bench.prepare(article("a", ROPES))
    cleaned, chunked = bench.prepare(article("a", TIDES))
    assert (cleaned.done, chunked.done) == (0, 1)  # the revision was cleaned before
    assert bench.rows("SELECT id, text FROM features.chunks ORDER BY id") == first


def test_what_cannot_be_cleaned_is_recorded_once_and_counted_every_time(bench: Bench) -> None:
    bench.sources(article("tides", TIDES), article("empty", "![only a picture](x.png)\n"))
    first, second = bench.clean(), bench.clean()
    for report in (first, second):
        assert report.failed == 1
        assert "nothing is left" in report.failures[str(bench.document_at("empty.md"))]
    assert (first.done, second.done, second.unchanged) == (1, 0, 1)
    assert bench.count("cleaned_documents") == 1
    bench.sources(article("tides", TIDES), article("empty", "Words after all.\n"))
    third = bench.clean()
    assert (third.done, third.failed) == (1, 0)
    assert bench.count("failures") == 0


def test_a_text_that_became_unreadable_keeps_the_passages_of_the_last_good_one(bench: Bench) -> None:
    bench.prepare(article("a", TIDES))
    before = bench.chunks(bench.document_at("a.md"))
    cleaned, chunked = bench.prepare(article("a", "![only a picture](x.png)\n"))
    assert (cleaned.failed, chunked.done, chunked.deleted) == (1, 0, 0)
    assert bench.chunks(bench.document_at("a.md")) == before


def test_a_body_that_the_warehouse_lost_is_a_failure_of_this_run_only(bench: Bench) -> None:
    bench.sources(article("a", TIDES))
    bench.warehouse.purge([bench.document_at("a.md")])
    report = bench.clean()
    assert (report.done, report.failed) == (0, 1)
    assert "warehouse" in next(iter(report.failures.values()))
    assert bench.count("failures") == 0


def test_a_new_cleaner_with_the_same_outcome_does_not_chunk_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.prepare(article("a", TIDES), article("b", ROPES))
    monkeypatch.setattr(clean_stage, "CLEANER_VERSION", "test")
    cleaned, chunked = bench.clean(), bench.chunk()
    assert (cleaned.done, chunked.done, chunked.unchanged) == (2, 0, 2)


def test_a_new_chunker_redoes_chunks_only_and_keeps_equal_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.prepare(article("a", TIDES), article("b", ROPES))
    before = bench.rows("SELECT id, key, lexemes FROM features.chunks ORDER BY id")
    postings = bench.count("postings")
    monkeypatch.setattr(chunk_stage, "CHUNKER_VERSION", "test")
    cleaned, chunked = bench.clean(), bench.chunk()
    assert (cleaned.done, chunked.done) == (0, 2)
    assert bench.rows("SELECT id, key, lexemes FROM features.chunks ORDER BY id") == before
    assert bench.count("postings") == postings
    assert bench.chunk().done == 0


def test_a_revision_with_the_same_text_takes_the_passages_over(bench: Bench) -> None:
    bench.prepare(article("a", TIDES))
    _, chunked = bench.prepare(article("a", f"---\nmood: calm\n---\n{TIDES}"))
    assert chunked.done == 0
    head = bench.rows("SELECT head_revision_id FROM warehouse.documents")
    assert bench.rows("SELECT DISTINCT revision_id FROM features.chunks") == head
    assert bench.rows("SELECT revision_id FROM features.chunked_documents") == head


def test_postings_count_every_word_of_context_and_text(bench: Bench) -> None:
    bench.prepare(article("a", "# Rope\n\nrope rope knots\n"))
    rows = bench.rows("SELECT lexeme, tf, len FROM features.postings ORDER BY lexeme")
    assert rows == [("knot", 1, 5), ("rope", 4, 5)]  # once in the title, once in the heading, twice in the text
    assert bench.rows("SELECT lexemes FROM features.chunks") == [(5,)]
    assert bench.rows("SELECT chunks, lexemes FROM features.lexical_totals") == [(1, 5)]


def test_totals_follow_what_is_there(bench: Bench) -> None:
    bench.prepare(article("a", TIDES), article("b", ROPES))
    bench.prepare(article("b", ROPES))
    assert bench.rows("SELECT chunks, lexemes FROM features.lexical_totals") == bench.rows(
        "SELECT count(*), sum(lexemes) FROM features.chunks"
    )
    assert bench.rows("SELECT sum(tf) FROM features.postings") == bench.rows("SELECT sum(lexemes) FROM features.chunks")


def test_another_title_is_another_context_with_new_postings(bench: Bench) -> None:
    bench.prepare(article("a", "# Rope\n\nAbout knots.\n"))
    bench.prepare(article("a", "# Line\n\nAbout knots.\n"))
    lexemes = {row[0] for row in bench.rows("SELECT lexeme FROM features.postings")}
    assert "line" in lexemes
    assert "rope" not in lexemes


def test_a_batch_that_fails_its_checks_publishes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.prepare(article("a", TIDES))
    before = bench.rows("SELECT * FROM features.chunks ORDER BY id")
    bench.sources(article("a", ROPES))
    bench.clean()
    publish = chunk_store.publish_chunks

    def torn(conn: object, author: object, documents: object, chunks: Sequence[object], version: object) -> int:
        publish(conn, author, documents, [*chunks], version)  # type: ignore[arg-type]
        raise ValidationFailed("the last check of the transaction")

    monkeypatch.setattr(chunk_store, "publish_chunks", torn)
    with pytest.raises(ValidationFailed):
        bench.chunk()
    assert bench.rows("SELECT * FROM features.chunks ORDER BY id") == before
    monkeypatch.undo()


def test_a_run_that_is_killed_goes_on_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.sources(*(article(f"n{number}", f"# Note {number}\n\nText {number}.\n") for number in range(7)))
    monkeypatch.setattr(clean_stage, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(chunk_stage, "BATCH_DOCUMENTS", 3)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_stage.clean_author(
            bench.database, bench.warehouse, bench.author, settings=bench.settings, progress=killed
        )
    assert (bench.count("cleaned_documents"), bench.clean().done) == (3, 4)
    with pytest.raises(KeyboardInterrupt):
        chunk_stage.chunk_author(bench.database, bench.author, settings=bench.settings, progress=killed)
    assert bench.chunk().done == 4


def test_near_duplicates_share_the_cluster_of_the_earlier_one(bench: Bench) -> None:
    long = " ".join(f"word{number}" for number in range(200))
    bench.prepare(article("a", long), article("b", ROPES))
    bench.prepare(article("a", long), article("b", ROPES), article("c", f"{long} edited"))
    first, rope = bench.document_at("a.md"), bench.document_at("b.md")
    clusters = "SELECT cluster_id FROM features.cleaned_documents WHERE document_id = :d"
    assert bench.rows(clusters, d=bench.document_at("c.md")) == [(first,)]
    assert bench.rows(clusters, d=rope) == [(rope,)]
    copy = bench.document_at("c.md")
    bench.prepare(article("b", ROPES), article("c", f"{long} edited"))
    assert bench.rows(clusters, d=copy) == [(copy,)]  # the canonical one is gone


def test_text_in_the_index_is_the_text_that_lexical_search_asks_for(bench: Bench) -> None:
    bench.prepare(code("parser", PARSER))
    lexemes = {row[0] for row in bench.rows("SELECT lexeme FROM features.postings")}
    assert {"getparser", "parser", "logreader", "reader", "readall"} <= lexemes
    assert "getparser" in indexed_text("", "get_parser", category=code("x", "y").category)


def test_progress_ends_at_the_total(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    bench.sources(article("a", TIDES), article("b", ROPES))
    clean_stage.clean_author(
        bench.database, bench.warehouse, bench.author, settings=bench.settings, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (2, 2)
