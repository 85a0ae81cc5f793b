"""Every example of docs/sql.md, run as the login that a reader of it would have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.retrieval.scenario import Given, fill
from tests.store.test_isolation import REST
from twin_core.runtime.urls import role_password, url_for
from twin_core.store.people import ensure_sql_role, run_readonly, sql_role

DOC = Path(__file__).parents[2] / "docs" / "sql.md"
SECTIONS = {
    section.partition("\n")[0].strip(): re.findall(r"```sql\n(.*?)```", section, flags=re.DOTALL)
    for section in DOC.read_text().split("\n## ")[1:]
}
VIEWS = (
    "documents", "chunks", "embedding_coverage", "source_outcomes", "items", "answers", "answer_sources", "documents_by_month",
    "style_by_month", "pipeline_coverage", "source_activity", "writing_rhythm", "revisions", "threads",
    "dataset_versions", "dataset_examples", "dataset_documents", "dataset_drops", "answer_feedback", "files", "adapters",
    "adapter_documents",
    "evaluations", "adapter_lineage",
)  # fmt: skip
EXAMPLES = [(view, query) for view in VIEWS for query in SECTIONS[view]]


@pytest.fixture
def url(database, settings) -> str:
    ada = fill(database, "ada", [Given(text="A queue."), Given(title="Other", text="Salt.")])
    with database.transaction() as connection:
        connection.exec_driver_sql(REST)
        connection.exec_driver_sql("UPDATE warehouse.ledger SET outcome = 'skipped', reason = 'a draft'")
        connection.exec_driver_sql(
            "INSERT INTO warehouse.revisions SELECT gen_random_uuid(), author_id, document_id, source_id, native_id, 'older' "
            "FROM warehouse.revisions"
        )
        role = sql_role(connection, ada.id)
        ensure_sql_role(connection, ada, role_password(settings, role))
    return url_for(settings, role=role)


def test_every_view_has_a_section_with_an_example():
    assert all(SECTIONS.get(view) for view in VIEWS)


def test_the_examples_run_and_find_something(url):
    for view, query in EXAMPLES:
        result = run_readonly(url, query, limit=100)
        assert result.rows, f"nothing found by the example of {view}:\n{query}"
        assert view in query


def test_the_columns_named_in_the_text_are_those_of_the_view(url):
    columns = set(run_readonly(url, "SELECT * FROM documents", limit=1).columns)
    table = DOC.read_text().split("\n## documents")[1].split("\n## ")[0]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == columns


def test_no_view_is_without_a_section(database):
    with database.transaction() as connection:
        found = (
            connection.exec_driver_sql("SELECT viewname FROM pg_views WHERE schemaname = 'analytics' ORDER BY viewname")
            .scalars()
            .all()
        )
    assert sorted(found) == sorted(VIEWS)
