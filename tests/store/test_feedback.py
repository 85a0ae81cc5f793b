"""What people say of answers: recorded once, counted by the latest word, made into pairs, forgotten with its answer."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4, uuid5

import pytest

from tests.retrieval.scenario import Given, chunk_of, fill
from twin_core import forgetting
from twin_core.errors import InvalidInput, NotFound
from twin_core.records import Author, Category
from twin_core.settings import Settings
from twin_core.store.database import Database
from twin_core.store.feedback import feedback_of, give_feedback, preferred
from twin_core.store.traces import Trace, TraceLink, TracePassage, record_trace
from twin_core.warehouse.postgres import PostgresWarehouse

TEXTS = ("Coil the line with the lay.", "Salt dries the rope.", "A knot is a decision.")


@pytest.fixture
def ada(database: Database) -> Author:
    return fill(database, "ada", [Given(title=f"Knot {n}", text=words) for n, words in enumerate(TEXTS)])


def answer(
    database: Database,
    author: Author,
    words: str = "Just coil it.",
    *,
    rests_on: tuple[int, ...] = (0, 1),
    cited: int = 1,
) -> UUID:
    trace = trace_of(author, words, rests_on=rests_on, cited=cited)
    with database.as_author(author.id) as conn:
        assert record_trace(conn, trace)
    return trace.id


def trace_of(
    author: Author, words: str = "Just coil it.", *, rests_on: tuple[int, ...] = (0, 1), cited: int = 1
) -> Trace:
    return Trace(
        id=uuid4(),
        author_id=author.id,
        question="How do I coil a line?",
        answer=words,
        outcome="answered",
        prompt_version="answer.v1",
        model="m",
        passages=[
            TracePassage(
                label=label,
                chunk_id=chunk_of(author, number),
                document_id=(document := uuid5(author.id, f"document {number}")),
                revision_id=uuid5(document, "revision"),
                start=0,
                end=len(TEXTS[number]),
                text=TEXTS[number],
                score=1 - label / 10,
                cited=number == cited,
            )
            for label, number in enumerate(rests_on, start=1)
        ],
    )


def say(database: Database, author: Author, trace: UUID, verdict: str | None = None, edited: str | None = None) -> UUID:
    with database.as_author(author.id) as conn:
        return give_feedback(conn, author.id, trace, verdict=verdict, edited=edited)  # type: ignore[arg-type]


def pairs(database: Database, author: Author) -> list[tuple[str, str, str]]:
    with database.transaction() as conn:
        return [(one.origin, one.chosen, one.rejected) for one in preferred(conn, author.id)]


def test_an_edit_is_chosen_over_the_answer_it_edits(database: Database, ada: Author) -> None:
    trace = answer(database, ada)
    say(database, ada, trace, "up", "  Coil it with the lay.\n")
    with database.transaction() as conn:
        (one,) = preferred(conn, ada.id)
    assert (one.origin, one.question, one.chosen, one.rejected) == (
        "edit",
        "How do I coil a line?",
        "Coil it with the lay.",
        "Just coil it.",
    )
    assert one.passages == TEXTS[:2]
    assert one.document_id == uuid5(ada.id, "document 1")
    assert (one.category, one.start, one.end, one.prompt_version) == (Category.ARTICLE, 0, len(TEXTS[1]), "answer.v1")
    assert set(one.context_document_ids) == {uuid5(ada.id, "document 0"), uuid5(ada.id, "document 1")}


def test_a_rejected_answer_loses_against_the_passage_it_cited(database: Database, ada: Author) -> None:
    say(database, ada, answer(database, ada), "down")
    assert pairs(database, ada) == [("rejection", TEXTS[1], "Just coil it.")]


def test_without_a_citation_the_best_passage_counts(database: Database, ada: Author) -> None:
    say(database, ada, answer(database, ada, cited=99), "down")
    assert pairs(database, ada) == [("rejection", TEXTS[0], "Just coil it.")]


def test_praise_alone_and_answers_without_passages_give_no_pair(database: Database, ada: Author) -> None:
    say(database, ada, answer(database, ada), "up")
    say(database, ada, answer(database, ada, rests_on=()), "down")
    assert pairs(database, ada) == []


def test_the_last_word_counts_and_the_others_are_kept(database: Database, ada: Author) -> None:
    trace = answer(database, ada)
    for verdict in ("down", "up", "down", "up"):
        say(database, ada, trace, verdict)
    assert pairs(database, ada) == []
    with database.transaction() as conn:
        assert [one.verdict for one in feedback_of(conn, ada.id, [trace])] == ["up", "down", "up", "down"]
        assert feedback_of(conn, ada.id, []) == []


@pytest.mark.parametrize(("verdict", "edited"), [(None, None), (None, "  "), (None, "Just coil it. ")])
def test_saying_nothing_is_refused(database: Database, ada: Author, verdict: None, edited: str | None) -> None:
    with pytest.raises(InvalidInput):
        say(database, ada, answer(database, ada), verdict, edited)


def test_an_edit_that_changes_nothing_is_no_edit(database: Database, ada: Author) -> None:
    say(database, ada, answer(database, ada), "down", "Just coil it.")
    assert pairs(database, ada) == [("rejection", TEXTS[1], "Just coil it.")]


def test_what_postgres_cannot_hold_is_left_out(database: Database, ada: Author) -> None:
    say(database, ada, answer(database, ada), None, "Coil\x00 it \ud800well.")
    assert pairs(database, ada)[0][1] == "Coil it ?well."


def test_another_authors_answer_is_not_there(database: Database, ada: Author) -> None:
    bob = fill(database, "bob", [Given(text="His.")])
    trace = answer(database, ada)
    for asked in (trace, uuid4()):
        with pytest.raises(NotFound):
            say(database, bob, asked, "up")
    say(database, ada, trace, "down")
    assert pairs(database, bob) == []


def test_forgetting_a_document_takes_what_was_said_of_answers_on_it(
    database: Database, ada: Author, settings: Settings
) -> None:
    gone, stays = answer(database, ada), answer(database, ada, rests_on=(2,))
    for trace in (gone, stays):
        say(database, ada, trace, "down", "Better.")
    receipt = forgetting.forget(
        database, PostgresWarehouse(database), ada, [uuid5(ada.id, "document 0")], settings=settings
    )
    assert receipt.stores["feedback"] == forgetting.Counted(before=1, after=0)
    with database.transaction() as conn:
        assert [one.trace_id for one in feedback_of(conn, ada.id)] == [stays]


def test_an_edited_draft_teaches_only_when_no_page_of_others_was_in_it(database: Database, ada: Author) -> None:
    page = TraceLink(
        label=3, url="https://o.example", title="O", text="Theirs.", characters=7, written_at=None, cited=True
    )
    with database.as_author(ada.id) as conn:
        traces = [replace(trace_of(ada), id=uuid4(), kind="post", links=links) for links in ((), (page,))]
        for trace in traces:
            assert record_trace(conn, trace)
            give_feedback(conn, ada.id, trace.id, verdict="down", edited="As it should read.")
        (pair,) = preferred(conn, ada.id)
        give_feedback(conn, ada.id, traces[0].id, verdict="down")
        assert preferred(conn, ada.id) == []  # no passage is the text that the brief asked for
    assert (pair.trace_id, pair.kind, pair.chosen) == (traces[0].id, "post", "As it should read.")
