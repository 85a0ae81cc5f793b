"""Front matter comes off, and the text comes into one plain form that keeps code as it is."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.errors import InvalidInput
from twin_core.text.markdown import clean_markdown, split_front_matter


def test_front_matter_is_read_and_taken_off() -> None:
    values, body = split_front_matter("---\ntitle: A day\ndate: 2024-05-01\ntags: [x, y]\n---\n\nText\n")
    assert values == {"title": "A day", "date": date(2024, 5, 1), "tags": ["x", "y"]}
    assert body.strip() == "Text"


def test_toml_front_matter_is_read_too() -> None:
    assert split_front_matter('+++\ntitle = "A"\n+++\nText') == ({"title": "A"}, "Text")


@pytest.mark.parametrize(
    "text", ["Text", "---\nOnly a line above", "---\n\nA quoted passage.\n\n---\nMore", "", "----\nx\n----\n"]
)
def test_a_text_without_front_matter_stays_whole(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


def test_windows_line_ends_and_a_mark_do_not_hide_front_matter() -> None:
    assert split_front_matter("\ufeff---\r\ntitle: A\r\n---\r\nText") == ({"title": "A"}, "Text")


@pytest.mark.parametrize(
    ("block", "line"),
    [("---\ntitle: A: b\n---\nx", "line 2"), ("---\na: 1\nb: [1\n---\nx", "line"), ("+++\na = \n+++\nx", "line 2")],
)
def test_broken_front_matter_is_refused_naming_the_line(block: str, line: str) -> None:
    with pytest.raises(InvalidInput, match=line):
        split_front_matter(block)


def test_a_date_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match="front matter"):
        split_front_matter("---\ndate: 2024-02-31\n---\nx")


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ('See [the docs](https://a.b/c_(d) "t") now', "See the docs now"),
        ("[`code`](x) and [a [b] c](y)", "`code` and a [b] c"),
        ("a ![alt](x.png) b", "a  b"),
        ("[![badge](b.svg)](http://x) text", "text"),
        ('[text][ref] and [ref] and [ref][]\n\n[ref]: http://x "t"', "text and ref and ref"),
        ("[[Page]] [[Page|words]] [[Page#Part]] ![[embedded]]", "Page words Page > Part"),
        ("- [ ] to do\n- [x] done", "- [ ] to do\n- [x] done"),
        ("a note[^1]\n\n[^1]: the note", "a note[^1]\n\n[^1]: the note"),
        ("<b>bold</b>, <span class='x'>plain</span> <!-- not this --> and a < b > c", "bold, plain  and a < b > c"),
        ("<https://a.b>", "https://a.b"),
        ("one<br>two", "one two"),
        ("<script>alert(1)</script>\nkept", "kept"),
        ("%%a comment%% kept", "kept"),
        (r"\[not a link\](x)", r"\[not a link\](x)"),
        ("# Title\n\n\n\n\nText  ", "# Title\n\nText"),
        ("![only](an-image.png)", ""),
    ],
)
def test_links_images_and_tags_leave_their_words(markdown: str, plain: str) -> None:
    assert clean_markdown(markdown).strip() == plain


@pytest.mark.parametrize(
    "code",
    [
        "```html\n<a href='x'>[y](z)</a> ![i](j) [[w]]\n```",
        "~~~\n<!-- kept -->\n\n\n\n# not a heading\n~~~",
        "    [indented](code) <b>",
        "`[inline](code) <b>` stays",
        "``a ` [b](c)`` stays",
    ],
)
def test_code_is_never_touched(code: str) -> None:
    assert clean_markdown(f"Before\n\n{code}\n\nAfter") == f"Before\n\n{code}\n\nAfter"


@settings(deadline=None)
@given(st.text(alphabet="ab[]()!`<>\\*#-|: \n~&;\"'%", max_size=120))
def test_cleaning_never_fails_and_invents_nothing(text: str) -> None:
    cleaned = clean_markdown(text)
    assert set(cleaned) <= set(text) | {" ", "\n"}


@pytest.mark.parametrize(
    "bad", ["[" * 30_000, "` ``" * 10_000, "<!--" * 20_000, "<a " * 20_000, "![[" * 10_000, "[a](" * 10_000]
)
def test_hostile_markdown_takes_linear_time(bad: str) -> None:
    clean_markdown(bad)
