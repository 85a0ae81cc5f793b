"""Other people's words inside an author's text are marked by offsets, so that datasets can leave them out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.collect.site import prose
from tests.features.texts import raw
from twin_core.features.clean import THIRD_PARTY, clean_revision
from twin_core.records import Category, CleanedDocument
from twin_core.text import third_party


def marked(document: CleanedDocument) -> list[tuple[str, str]]:
    """The marked parts as text, with their kind."""
    spans = document.metadata.get(THIRD_PARTY, [])
    assert isinstance(spans, list)
    return [(document.text[start:end].strip(), kind) for start, end, kind in spans]


def test_a_block_quotation_in_markdown_is_marked_and_the_rest_is_not() -> None:
    body = b"# On sails\n\nShe told me this:\n\n> Reef before\n> you must.\n>\n> Always.\n\nI did not listen.\n"
    assert marked(clean_revision(raw(body), "en")) == [("> Reef before\n> you must.\n>\n> Always.", "quote")]


def test_a_note_in_a_box_is_the_authors_own_and_a_quotation_in_one_is_not() -> None:
    body = b"Text.\n\n> [!NOTE]\n> Mine.\n\nMore.\n\n> [!quote] Someone\n> Theirs.\n"
    assert marked(clean_revision(raw(body), "en")) == [("> [!quote] Someone\n> Theirs.", "quote")]


def test_a_sign_of_quotation_inside_code_is_no_quotation() -> None:
    assert marked(clean_revision(raw(b"Run it:\n\n```\n> ls\n```\n\nDone.\n"), "en")) == []


def test_the_quotation_of_a_page_is_found_in_its_text_although_the_markup_is_gone() -> None:
    quote = "Nobody who has been aground twice trusts a chart that was printed before the last storm came through."
    page = (
        f"<html><body><article><h1>Charts</h1><p>{prose('charts', 1)}</p><blockquote><p>{quote}</p>"
        f"<p>So said the <em>pilot</em>, at least.</p></blockquote><p>{prose('paper', 1)}</p></article></body></html>"
    )
    document = clean_revision(raw(page.encode(), media_type="text/html"), "en")
    ((text, kind),) = marked(document)
    assert kind == "quote"
    assert text.startswith(quote)
    assert text.endswith("pilot*, at least.")
    assert "charts" not in text


def test_a_short_quotation_is_not_found_inside_a_sentence_of_the_author() -> None:
    page = f"<html><body><article><p>Never say never. {prose('oaths', 2)}</p><blockquote>Never</blockquote></article></body></html>"
    document = clean_revision(raw(page.encode(), media_type="text/html"), "en")
    assert all(text == "Never" for text, _ in marked(document))


def test_a_reply_by_mail_marks_what_it_answers_with_the_line_above_it() -> None:
    body = b"Yes, on Friday.\n\nOn Tue, 5 Mar 2024 at 10:00, Ben Roe <ben@example.org> wrote:\n> Friday?\n> At six?\n\nSee you."
    document = clean_revision(raw(body, category=Category.POST, media_type="text/plain"), "en")
    ((text, kind),) = marked(document)
    assert kind == "reply"
    assert text.startswith("On Tue,")
    assert text.endswith("At six?")


@pytest.mark.parametrize(
    "head", ["---------- Forwarded message ---------", "Begin forwarded message:", "-----Original Message-----"]
)
def test_a_forwarded_message_is_marked_to_the_end(head: str) -> None:
    body = f"Read this, please.\n\n{head}\nFrom: Ben\n\nThe boat is sold.\n".encode()
    document = clean_revision(raw(body, category=Category.POST, media_type="text/plain"), "en")
    assert marked(document) == [(f"{head}\nFrom: Ben\n\nThe boat is sold.", "forward")]


def test_a_post_in_html_keeps_its_paragraphs_and_marks_what_it_quotes() -> None:
    html = "<p>They wrote:</p><blockquote><p>Ships are<br>safe in harbour.</p></blockquote><p>Mine is <b>not</b>.</p><script>x()</script>"
    document = clean_revision(raw(html.encode(), category=Category.POST, media_type="text/html"), "en")
    assert document.text == "They wrote:\n\nShips are\nsafe in harbour.\n\nMine is not."
    assert marked(document) == [("Ships are\nsafe in harbour.", "quote")]


def test_a_source_cannot_state_the_marks_itself() -> None:
    document = clean_revision(raw(b"All of it is mine.", third_party=[[0, 18, "quote"]]), "en")
    assert THIRD_PARTY not in document.metadata


def test_spans_are_in_order_apart_and_inside_the_text() -> None:
    text = "> a\n\nb\n\nOn Mon, Ben wrote:\n> c\n\n---------- Forwarded message ---------\n> d\n"
    spans = third_party.in_mail(text)
    assert [kind for _, _, kind in spans] == ["quote", "reply", "forward"]
    assert all(0 <= start < end <= len(text) for start, end, _ in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
