"""The ethics report: whom it finds, whom it does not, what it says of tone, and what it keeps to itself."""

from __future__ import annotations

from codecs import encode
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from twin_core.datasets import ethics, lexicons
from twin_core.datasets.ethics import EthicsReport, blocked, ethics_report
from twin_core.errors import InvalidInput


def report(
    *texts: str, language: str = "en", column: str = "completion", category: str = "article", author: str = ""
) -> EthicsReport:
    frame = pl.DataFrame(
        [
            {
                "document_id": f"d{n}",
                "language": language,
                "category": category,
                column: text,
                "title": f"Piece {n}",
                "location": f"https://yard.example/{n}",
            }
            for n, text in enumerate(texts)
        ]
    )
    return ethics_report(frame, title="Dataset abc of Ada", author=author)


@pytest.mark.parametrize(
    "text",
    [
        "As Tove Lindqvist said, ropes rot.",
        "Thanks to Maria Okonkwo for the patch.",
        "I read Dr. Okafor Mbeki on tides.",
        "It was in Peter van der Meer's book.",
        "Anna Brzęczyszczykiewicz wrote to me.",
    ],
)
def test_people_are_found(text: str) -> None:
    assert report(text).counts["people"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "I use Visual Studio Code on New York time.",
        "Hello World is the First Program that runs.",
        "GitHub Actions and Google Cloud Run are slow. Then Docker Compose.",
        "```\nMaria Okonkwo said so\n```",
        "`Maria Okonkwo` is a string.",
        "See [the docs](https://maria.example/Maria Okonkwo).",
    ],
)
def test_products_places_and_code_are_no_people(text: str) -> None:
    assert report(text).counts["people"] == 0


def test_the_author_is_nobody_else() -> None:
    assert report("Ada Tarn wrote this.", author="ada tarn").counts["people"] == 0


def test_the_tone_is_that_of_the_sentence_and_only_of_english() -> None:
    texts = ("Maria Okonkwo is a horrible, disgusting liar. I love rope.", "Maria Okonkwo is wonderful and kind.")
    found = report(*texts)
    assert (found.counts["people"], found.counts["people_distinct"], found.counts["people_negative"]) == (2, 1, 1)
    other = report(*texts, language="de")
    assert (other.counts["people"], other.counts["people_negative"], other.counts["not_english"]) == (2, 0, 2)


def test_technical_language_is_not_a_bad_tone() -> None:
    assert (
        report("Maria Okonkwo showed how to kill the process that failed with a fatal error.").counts["people_negative"]
        == 0
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Women and Muslims built it.", 2),
        ("Chinese people and old people.", 2),
        ("A Chinese keyboard, a French press, a human.", 0),
        ("The men in blind trials; deaf users waited.", 2),
        ("Menu, womenswear-x, boyscout", 0),
    ],
)
def test_groups_are_people_and_not_adjectives(text: str, count: int) -> None:
    assert report(text).counts["groups"] == count


def test_each_slur_of_the_list_is_found_in_any_case_and_number() -> None:
    for hidden in lexicons.SLURS_ROT13:
        word = encode(hidden, "rot13")
        assert report(f"They said {word.upper()}s there.").counts["slurs"] == 1
        assert report(f"They said x{word}x there.").counts["slurs"] == 0


def test_no_slur_stands_in_the_open_in_the_source() -> None:
    sources = "".join(Path(module.__file__).read_text().casefold() for module in (lexicons, ethics))
    assert [hidden for hidden in lexicons.SLURS_ROT13 if len(hidden) > 4 and encode(hidden, "rot13") in sources] == []


def test_quotations_are_counted_by_passage() -> None:
    found = report(
        "> The sea is a large thing indeed.\n> And it is wet all through.\n\nSo.",
        "She said “never leave a rope to think for itself on a boat”. Fine.",
        'The "short one" is no quotation. > 3 is no quotation either.',
    )
    assert found.counts["quotes"] == 2


def test_code_documents_are_counted_and_not_read() -> None:
    found = report("# Maria Okonkwo said women", category="code")
    assert (found.counts["passages"], found.counts["people"], found.counts["groups"]) == (1, 0, 0)


def test_preferences_are_read_by_what_was_chosen() -> None:
    assert report("Maria Okonkwo said so.", column="chosen").counts["people"] == 1


def test_figures_hold_no_text_and_the_page_names_whose_text_it_holds() -> None:
    found = report("Nothing here.", "Maria Okonkwo said so.")
    assert all(isinstance(count, int) for count in found.counts.values())
    assert found.document_ids == ("d1",)
    assert "Maria Okonkwo said so." in found.html
    assert "Nothing here." not in found.html


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_runs_nothing_of_what_it_shows() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>"
    found = report(f"Maria Okonkwo said {evil} of women.", f"“{evil} and seven more words in this very place”")
    page = _Page()
    page.feed(found.html)
    assert page.open == []
    assert not page.tags & {"script", "img", "iframe", "link"}
    assert "&lt;script&gt;" in found.html


def test_the_same_texts_give_the_same_page_and_an_empty_set_gives_one_too() -> None:
    texts = ("Maria Okonkwo said so.", "Women. “One two three four five six seven eight nine.”")
    assert report(*texts) == report(*texts)
    empty = report("x").html
    assert empty.count("None found.") == 4


def test_limits_block_by_name_and_say_why() -> None:
    counts = report("Women said so.").counts
    assert blocked(counts, {"slurs": 0, "groups": 1}) == []
    assert blocked(counts, {"groups": 0, "people": 0}) == ["1 groups where TWIN_ETHICS_BLOCKS allows 0"]
    with pytest.raises(InvalidInput, match="slur, words"):
        blocked(counts, {"slur": 0, "words": 3})


def test_a_megabyte_without_an_end_takes_no_quadratic_time() -> None:
    for stuff in ("a", "Aa ", "A. ", "“", "Maria ", "by ", "\n", "> ", "```", "[", "D'A"):
        report(stuff * (200_000 // len(stuff)))
