"""Which document a person means, what a list shows, and what a merge may do."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.collect.scripted import END, Desk, found
from twin_core.collect import run
from twin_core.errors import InvalidInput, NotFound, Refused
from twin_core.records import Category
from twin_core.settings import Settings
from twin_core.store import authors, documents
from twin_core.store.database import Database
from twin_core.store.merging import merge_documents


@pytest.fixture
def desk(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(database, settings)
    monkeypatch.setattr(run, "collector_for", lambda platform: made.collector)
    made.sync(
        found("a.md", "One."),
        found("notes/b.md", "Two."),
        found("c.txt", "Three.", category=Category.POST),
        END,
    )
    return made


def resolve(desk: Desk, key: str) -> UUID:
    with desk.database.transaction() as conn:
        return documents.resolve_document(conn, desk.author.id, key)


def test_a_document_is_found_by_id_beginning_path_and_item_name(desk: Desk) -> None:
    wanted = desk.document_at("notes/b.md")
    for key in (str(wanted), str(wanted).upper(), str(wanted)[:13], "/notes/notes/b.md", "notes/b.md", "b.md"):
        assert resolve(desk, key) == wanted, key


def test_a_key_that_fits_nothing_says_where_to_look(desk: Desk) -> None:
    for key in ("nowhere.md", str(uuid4()), "", "%"):
        with pytest.raises(NotFound, match="twin documents"):
            resolve(desk, key)


def test_a_key_that_fits_several_names_them(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("x/same.md", "Four."), found("y/same.md", "Five."), END)
    with pytest.raises(InvalidInput, match=str(desk.document_at("x/same.md"))):
        resolve(desk, "same.md")


def test_another_authors_document_is_not_found(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        other = authors.add_author(conn, slug="joan", name="Joan")
        with pytest.raises(NotFound):
            documents.resolve_document(conn, other.id, str(desk.document_at("a.md")))
        with pytest.raises(NotFound):
            documents.lineage(conn, other.id, desk.document_at("a.md"))
        assert documents.list_documents(conn, other.id) == []


def test_lists_are_narrowed_and_paged(desk: Desk) -> None:
    with desk.database.transaction() as conn:
        everything = documents.list_documents(conn, desk.author.id)
        posts = documents.list_documents(conn, desk.author.id, category=Category.POST)
        second = documents.list_documents(conn, desk.author.id, limit=1, offset=1)
        here = documents.list_documents(conn, desk.author.id, source_id=desk.source.id)
        elsewhere = documents.list_documents(conn, desk.author.id, source_id=uuid4())
    assert len(everything) == len(here) == 3
    assert [row.id for row in posts] == [desk.document_at("c.txt")]
    assert second == everything[1:2]
    assert elsewhere == []


def test_lineage_names_source_places_and_revisions(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("copy.md", "One."), END)
    desk.sync(found("a.md", "One!"), found("copy.md", "One!"), END)
    shown = desk.lineage(desk.document_at("a.md"))
    assert shown.source_locator == "/notes"
    assert [place.native_id for place in shown.locations] == ["a.md", "copy.md"]
    assert [revision.head for revision in shown.revisions] == [True, False]


def merge(desk: Desk, kept: UUID, merged: UUID) -> UUID:
    with desk.database.transaction() as conn:
        return merge_documents(conn, desk.author.id, kept=kept, merged=merged)


def test_a_merged_document_leads_to_the_one_that_was_kept(desk: Desk) -> None:
    a, b = desk.document_at("a.md"), desk.document_at("notes/b.md")
    assert merge(desk, a, b) == a
    assert resolve(desk, str(b)) == a
    assert desk.lineage(a).merged == [b]
    assert merge(desk, a, b) == a


def test_redirects_never_lead_to_redirects(desk: Desk) -> None:
    desk.sync(found("a.md", "One."), found("notes/b.md", "Two."), found("d.md", "Four."), END)
    a, b, d = (desk.document_at(name) for name in ("a.md", "notes/b.md", "d.md"))
    merge(desk, b, d)
    merge(desk, a, b)
    assert resolve(desk, str(d)) == a
    assert desk.rows("SELECT merged_into FROM warehouse.documents WHERE state = 'merged'") == [(a,), (a,)]


def test_merges_that_make_no_sense_are_refused(desk: Desk) -> None:
    a, b, post = (desk.document_at(name) for name in ("a.md", "notes/b.md", "c.txt"))
    with pytest.raises(Refused, match="itself"):
        merge(desk, a, a)
    with pytest.raises(Refused, match="category"):
        merge(desk, a, post)
    with pytest.raises(NotFound):
        merge(desk, a, uuid4())
    merge(desk, a, b)
    with pytest.raises(Refused, match="itself"):
        merge(desk, b, a)


def test_what_is_gone_cannot_take_in_what_is_there(desk: Desk) -> None:
    a, b = desk.document_at("a.md"), desk.document_at("notes/b.md")
    desk.sync(found("notes/b.md", "Two."), END)
    with pytest.raises(Refused, match="gone"):
        merge(desk, a, b)
