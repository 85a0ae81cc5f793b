"""What a person sees of an answer while it is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from twin_cli.ask import Screen
from twin_core.records import Category
from twin_core.writing.answer import Answer, Piece
from twin_core.writing.citations import Citation

PASSAGE = Citation(
    label=1, chunk_id=UUID(int=1), document_id=UUID(int=1), revision_id=UUID(int=1), category=Category.ARTICLE,
    title="Tides", location="notes/tides.md", written_at=datetime(2024, 3, 1, tzinfo=UTC), start=0, end=10,
    text="The harbour empties twice a day.", score=1.0, cited=False,
)  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], *pieces: str, citations: tuple[Citation, ...] = ()) -> str:
    screen = Screen()
    for piece in pieces:
        screen(Piece(piece))
    screen(
        Answer(
            trace_id=UUID(int=9),
            question="?",
            text="".join(pieces),
            outcome="answered",
            finish_reason="stop",
            citations=citations,
            model="m",
            prompt_version="answer.v1",
            usage=None,
            timings={},
        )
    )
    return capsys.readouterr().out


def test_a_model_that_loves_blank_lines_is_shown_with_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "\n\n\nOne.\n", "\n", "\n \n\nTwo.\n\n\n") == "One.\n\n Two.\n\n"


def test_an_answer_that_tries_to_steer_the_terminal_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "safe\x1b[2Jtext") == "safe[2Jtext\n"


def test_passages_of_one_document_are_one_source_with_its_first_words(capsys: pytest.CaptureFixture[str]) -> None:
    second = replace(PASSAGE, label=2, document_id=UUID(int=2), title="Ropes", cited=True)
    third = replace(PASSAGE, label=3, text="Springs follow the full moon.")
    out = shown(capsys, "Yes [2].", citations=(PASSAGE, second, third))
    assert "[1][3] Tides, 2024-03-01  (not cited)" in out
    assert "“The harbour empties twice a day.”" in out
    assert "[2] Ropes, 2024-03-01\n" in out
