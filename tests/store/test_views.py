"""The views say what is so: each figure beside the one that was counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from tests.retrieval.scenario import Given, direction, fill
from tests.store.test_isolation import REST
from twin_core.records import Category
from twin_core.store.database import Database


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.transaction() as conn:
        return [tuple(row) for row in conn.execute(text(query))]


def at(year: int, month: int, day: int = 1, hour: int = 12) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


PROSE = """One two three. Four, five; six!

Why seven? See https://example.com/a,b and `code, code`.

```python
x = "not, counted!"
```
Eight — nine."""


def test_style_is_counted_by_hand_and_code_is_no_style(database: Database) -> None:
    fill(
        database,
        "ada",
        [
            Given(text=PROSE, written_at=at(2025, 3)),
            Given(title="b", text="x = 1, 2, 3", category=Category.CODE, written_at=at(2025, 3)),
            Given(title="c", text="One one one one.", written_at=at(2025, 4, 30, 23)),
        ],
    )
    found = rows(
        database,
        "SELECT month::text, documents, words, sentences, distinct_words, commas_per_1000, colons_per_1000, "
        "dashes_per_1000, questions_per_1000, exclamations_per_1000 FROM analytics.style_by_month ORDER BY month",
    )
    # One two three four five six why seven see and eight nine: 12 words. Six ends: . ! ? . . and the break after code.
    march, april = found
    assert march[:3] == ("2025-03-01", 1, 12)
    assert march[4] == 12
    assert [round(float(value) * 12 / 1000) for value in march[5:]] == [1, 1, 1, 1, 1]
    assert 5 <= march[3] <= 7
    assert april[:5] == ("2025-04-01", 1, 4, 1, 1)


def test_vocabulary_richness_tells_repetition_from_variety(database: Database) -> None:
    fill(
        database,
        "ada",
        [
            Given(text="tide " * 400, written_at=at(2025, 1)),
            Given(
                title="b",
                text=" ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(400)),
                written_at=at(2025, 2),
            ),
        ],
    )
    found = rows(database, "SELECT vocabulary_richness FROM analytics.style_by_month ORDER BY month")
    assert [float(value) for (value,) in found] == [0.05, 20.0]


def test_documents_are_counted_in_the_month_of_utc(database: Database) -> None:
    fill(
        database,
        "ada",
        [
            Given(text="one two", written_at=at(2025, 1, 31, 23)),
            Given(title="b", text="three", written_at=at(2025, 2, 1, 0)),
            Given(title="c", text="four", written_at=None, source="log"),
        ],
    )
    with database.transaction() as conn:
        conn.execute(text("SET LOCAL timezone = 'Asia/Tokyo'"))
        found = conn.execute(
            text(
                "SELECT source, month::text, documents, words FROM analytics.documents_by_month ORDER BY source, month"
            )
        )
        assert [tuple(row) for row in found] == [
            ("blog", "2025-01-01", 1, 2),
            ("blog", "2025-02-01", 1, 1),
            ("log", None, 1, 1),
        ]


def test_coverage_follows_a_document_through_the_stages(database: Database) -> None:
    fill(database, "ada", [Given(title=name, text=name, vector=direction(1)) for name in ("a", "b", "c", "d")])
    with database.transaction() as conn:
        conn.exec_driver_sql(
            "DELETE FROM features.embeddings WHERE chunk_id = (SELECT id FROM features.chunks WHERE text = 'b')"
        )
        conn.exec_driver_sql(
            "DELETE FROM features.chunked_documents WHERE document_id = (SELECT document_id FROM features.chunks WHERE text = 'c')"
        )
        conn.exec_driver_sql("DELETE FROM features.cleaned_documents WHERE text = 'd'")
    query = "SELECT documents, cleaned, chunked, searchable, failed FROM analytics.pipeline_coverage"
    assert rows(database, query) == [(4, 3, 3, 2, 0)]


def test_a_silent_source_is_told_by_its_own_rhythm(database: Database) -> None:
    fill(database, "ada", [Given(title=str(n), text=str(n), written_at=at(2025, 1, 1 + 7 * n)) for n in range(4)])
    (found,) = rows(
        database, "SELECT documents, usual_days_between, days_silent > 30, in_90_days FROM analytics.source_activity"
    )
    assert found[0] == 4
    assert float(found[1]) == 7.0
    assert found[2:] == (True, 0)


def test_lineage_and_drops_join_up(database: Database) -> None:
    ada = fill(database, "ada", [Given(text="One."), Given(title="b", text="Two.")])
    fill(database, "bob", [Given(text="Three.")])
    with database.transaction() as conn:
        conn.exec_driver_sql(REST)
    mine = f"author_id = '{ada.id}'"
    assert rows(database, f"SELECT count(*), sum(examples) FROM analytics.dataset_documents WHERE {mine}") == [(2, 2)]
    assert rows(
        database, f"SELECT is_current, tainted, examples_left FROM analytics.dataset_versions WHERE {mine}"
    ) == [(True, False, 2)]
    assert rows(database, f"SELECT count(*), count(title) FROM analytics.dataset_examples WHERE {mine}") == [(2, 2)]
    assert rows(database, f"SELECT reason, sum(passages) FROM analytics.dataset_drops WHERE {mine} GROUP BY 1") == [
        ("too short", 2)
    ]
