"""Passages: offsets that hold, nothing lost, nothing beyond the window, whatever the text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.scenario import PARSER, TIDES
from tests.features.texts import cleaned
from twin_core.errors import ValidationFailed
from twin_core.features.chunk import chunk_document, embedded_text, validate
from twin_core.models.tokenizer import TokenCounter
from twin_core.records import Category, Chunk, CleanedDocument

PARAGRAPH = "The boat lay on the mud for six hours, and I read the manual of the pump by the last of the light. "
PIECES = st.sampled_from([
    "# Heading\n", "## Part two\n", "\n\n", "\n", " ", "    ", "```\n", "- item\n", "> said\n", "| a | b |\n|---|---|\n",
    "word", "A sentence. ", "naïve café ", "北京大学的历史", "🎉👩‍👩‍👧", "def f(x):\n    return x\n", "\t", "ﷺ", "x" * 300, "&nbsp;",
])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=120).map("".join))


def holds(document: CleanedDocument, chunks: list[Chunk], counter: TokenCounter) -> None:
    """The promises of every chunking, checked from outside."""
    covered = set()
    for chunk in chunks:
        assert chunk.text == document.text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert chunk.tokens == counter.count([embedded_text(chunk.context, chunk.text)])[0] <= counter.model.window
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for at, character in enumerate(document.text) if at not in covered)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert all(one.end <= other.start for one, other in pairwise(chunks))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, category=st.sampled_from(list(Category)), title=st.text(max_size=200))
def test_any_text_is_cut_into_passages_that_hold(
    counter: TokenCounter, text: str, category: Category, title: str
) -> None:
    document = cleaned(text, category=category, title=title, language="python" if category == Category.CODE else "en")
    holds(document, list(chunk_document(document, counter)), counter)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000,
        "é" * 10_000,
        "🎉" * 3_000,
        "北" * 3_000,
        "a " * 5_000,
        "\n\n".join([PARAGRAPH * 9] * 20),
        " " * 5_000 + "x",
        "ﷺ" * 500,
    ],
    ids=["word", "accents", "emoji", "han", "letters", "prose", "blank", "ligatures"],
)
@pytest.mark.parametrize("category", Category)
def test_extreme_texts_fit_too(counter: TokenCounter, text: str, category: Category) -> None:
    document = cleaned(text, category=category, language="python")
    holds(document, list(chunk_document(document, counter)), counter)


def test_an_endless_title_leaves_room_for_the_text(counter: TokenCounter) -> None:
    document = cleaned(PARAGRAPH * 20, title="very " * 400)
    chunks = list(chunk_document(document, counter))
    holds(document, chunks, counter)
    assert len(chunks) < 5


def test_an_article_is_cut_at_its_headings_and_carries_their_path(counter: TokenCounter) -> None:
    text = f"# Boats\n\n{PARAGRAPH * 5}\n\n## Pumps\n\n{PARAGRAPH * 5}\n\n### Bilge\n\n{PARAGRAPH * 5}\n\n## Ropes\n\n{PARAGRAPH * 5}"
    chunks = list(chunk_document(cleaned(text, title="Boats"), counter))
    assert [(chunk.context, chunk.text.split("\n")[0]) for chunk in chunks] == [
        ("Boats", "# Boats"), ("Boats > Pumps", "## Pumps"), ("Boats > Pumps > Bilge", "### Bilge"), ("Boats > Ropes", "## Ropes"),
    ]  # fmt: skip


def test_a_short_article_is_one_passage(counter: TokenCounter) -> None:
    (chunk,) = chunk_document(cleaned(TIDES.strip(), title="Tides"), counter)
    assert chunk.context == "Tides"


def test_a_hash_sign_inside_code_is_no_heading(counter: TokenCounter) -> None:
    text = f"# A\n\n{PARAGRAPH * 6}\n\n```sh\n# install it\nmake\n```\n\n{PARAGRAPH * 6}"
    contexts = {chunk.context for chunk in chunk_document(cleaned(text, title="A"), counter)}
    assert contexts == {"A"}


def test_a_post_stays_whole_and_needs_no_title(counter: TokenCounter) -> None:
    text = "First thought.\n\nSecond thought.\n\n# not a heading, a hashtag"
    (chunk,) = chunk_document(cleaned(text, category=Category.POST, title="First thought."), counter)
    assert (chunk.context, chunk.text) == ("", text)


def test_code_is_cut_at_its_symbols_and_carries_path_and_symbol(counter: TokenCounter) -> None:
    long = "".join(f"    value_{number} = compute(value_{number - 1}, {number})\n" for number in range(1, 16))
    text = f"import os\n\n\ndef first(value_0):\n{long}\n\nclass Box:\n    def second(self, value_0):\n{long.replace('    ', '        ')}\n\n    def third(self, value_0):\n{long.replace('    ', '        ')}"
    chunks = list(chunk_document(cleaned(text, category=Category.CODE, title="pkg/box.py", language="python"), counter))
    contexts = [chunk.context for chunk in chunks]
    assert "pkg/box.py > Box > third" in contexts
    (third,) = [chunk for chunk in chunks if chunk.context.endswith("third")]
    assert third.text.startswith("    def third")


@pytest.mark.parametrize("language", ["python", "no-such-language", "text"])
def test_code_without_a_parser_is_cut_at_lines(counter: TokenCounter, language: str) -> None:
    document = cleaned(PARSER * 12, category=Category.CODE, title="log.py", language=language)
    chunks = list(chunk_document(document, counter))
    holds(document, chunks, counter)
    assert all(document.text[chunk.start - 1] == "\n" for chunk in chunks[1:])


def test_a_paragraph_inserted_keeps_the_other_passages(counter: TokenCounter) -> None:
    sections = [f"## Part {number}\n\n" + f"{PARAGRAPH} {number} " * 9 for number in range(8)]
    before = list(chunk_document(cleaned("\n\n".join(sections)), counter))
    sections[3] += "\n\nA paragraph that was not there before."
    after = list(chunk_document(cleaned("\n\n".join(sections)), counter))
    kept = {chunk.id for chunk in before} & {chunk.id for chunk in after}
    assert len(kept) >= len(before) - 2


def test_equal_passages_of_one_document_have_ids_of_their_own(counter: TokenCounter) -> None:
    document = cleaned("\n\n".join(["## Again\n\n" + PARAGRAPH * 5] * 3))
    chunks = list(chunk_document(document, counter))
    assert len({chunk.text for chunk in chunks}) == 1
    assert len({chunk.id for chunk in chunks}) == 3


def test_what_must_not_be_published_is_refused(counter: TokenCounter) -> None:
    document = cleaned(TIDES)
    (chunk,) = chunk_document(document, counter)
    with pytest.raises(ValidationFailed, match="window"):
        validate([document], {document.document_id: [chunk]}, window=10)
    with pytest.raises(ValidationFailed, match="no chunk"):
        validate([document], {document.document_id: []}, window=256)
    with pytest.raises(ValidationFailed, match="twice|ordinals"):
        validate([document], {document.document_id: [chunk, chunk]}, window=256)
    with pytest.raises(ValidationFailed, match="offsets"):
        validate([cleaned(TIDES[1:])], {document.document_id: [chunk]}, window=256)
