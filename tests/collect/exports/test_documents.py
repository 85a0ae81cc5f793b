"""What comes out of each export: recognised by content, the exact documents, and the reason for what is left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.collect.exports import builders
from tests.collect.exports.conftest import Importing
from tests.collect.exports.reading import cleaned, items_of, sources_of
from tests.collect.runs import by_id, listed
from twin_core.collect import formats
from twin_core.errors import InvalidInput
from twin_core.records import Category, Failed, Found, Item, Skipped
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]
CONVERSATION = "of the author's on that day"


def taken(items: list[Item]) -> dict[str, Found]:
    return {name: item for name, item in by_id(items).items() if isinstance(item, Found)}


def left_out(items: list[Item]) -> dict[str, str]:
    return {name: item.reason for name, item in by_id(items).items() if isinstance(item, Skipped | Failed)}


def test_linkedin(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.zipped(builders.linkedin(tmp_path / "l"), tmp_path / "linkedin.zip"))
    assert (report.platform, report.locator) == ("linkedin", "export:Jane Doe")
    assert (report.fetched, report.skipped, report.failed) == (5, 2, 0)
    assert importing.documents() == {
        "Release day.": 'Release day.\nNothing broke, which is "normal" now.',
        "Ein Deploy am Freitag – warum nicht? 🚀": "Ein Deploy am Freitag – warum nicht? 🚀",
        'She said "measure first", and she was right.': 'She said "measure first", and she was right.',
        "How we cut the queue": (
            "First, we counted. Then we **stopped**.\n\n```\nSELECT count(*)\n  FROM jobs\n```\n\n> Queues are where hope waits."
        ),
        "Über Straßen & Züge": "Ein Text ohne Datum.",
    }
    assert importing.reasons(report) == {
        "share:urn:li:share:7000000000000000002": "a bare reshare: no words of the author's",
        "repost:urn:li:activity:7000000000000000011": "an instant repost: not the author's words",
    }


def test_linkedin_states_times_addresses_and_urns(tmp_path: Path, make_settings: MakeSettings) -> None:
    found = taken(items_of(builders.linkedin(tmp_path / "l"), make_settings()))
    share = found["share:urn:li:share:7000000000000000001"]
    assert share.category is Category.POST
    assert share.written_at == datetime(2024, 3, 1, 8, 15, tzinfo=UTC)
    assert share.platform_id == "linkedin:urn:li:share:7000000000000000001"
    assert share.canonical_url == "https://www.linkedin.com/feed/update/urn:li:share:7000000000000000001"
    assert share.metadata == {"shared_url": "https://example.org/a", "visibility": "PUBLIC"}
    article = found["article:how-we-cut-queue-jane-doe-abcde"]
    assert article.category is Category.ARTICLE
    assert article.written_at == datetime(2024, 2, 24, 0, 9, tzinfo=UTC)
    assert article.canonical_url == "https://www.linkedin.com/pulse/how-we-cut-queue-jane-doe-abcde"
    assert found["article:Über-Straßen-und-Züge"].written_at is None


def test_medium(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    assert (report.locator, report.fetched, report.skipped, report.failed) == ("export:jane.doe", 2, 1, 0)
    assert importing.documents() == {
        "Naming & other things": (
            "A name is a promise.\n\n```\ndef refit(ship):\n    return ship\n```\n\n"
            "> There are only two hard things.\n\nKeep it <short>."
        ),
        "I agree with this. We tried it for a year.": "I agree with this. We tried it for a year.",
    }
    assert importing.reasons(report) == {"story:99aa88bb77cc": "a draft"}


def test_medium_tells_articles_from_comments(tmp_path: Path, make_settings: MakeSettings) -> None:
    found = taken(items_of(builders.medium(tmp_path / "m"), make_settings()))
    story, comment = found["story:3f2a9c11b0de"], found["story:0a1b2c3d4e5f"]
    assert (story.category, comment.category) == (Category.ARTICLE, Category.POST)
    assert story.platform_id == "medium:3f2a9c11b0de"
    assert story.canonical_url == "https://medium.com/@jane.doe/naming-things-3f2a9c11b0de"
    assert story.written_at == datetime(2023, 5, 4, 9, 30, tzinfo=UTC)
    assert story.metadata == {"tags": ["Naming", "Code"], "description": "On ships"}


def test_substack(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.zipped(builders.substack(tmp_path / "s"), tmp_path / "export.zip"))
    assert (report.locator, report.fetched, report.skipped, report.failed) == ("export:janes-letters", 2, 2, 0)
    assert importing.documents() == {
        "Plain text & patience": "Plain text waits for you.\n\n## Patience\n\n- one\n- two\n\n> Slow is smooth.",
        "What do you bake?": "What do you bake on Sundays? I bake rye.",
    }
    assert importing.reasons(report) == {
        "post:123403": "a podcast without a text of its own",
        "post:123404": "a draft",
    }


def test_a_substack_text_that_the_list_does_not_name_may_be_a_draft(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    folder = builders.substack(tmp_path / "s")
    (folder / "posts" / "99.lost.html").write_text("<p>Published or not?</p>")
    items = items_of(folder, make_settings())
    assert "not known whether it was published" in left_out(items)["post:99"]
    assert listed(items) is None


def test_x(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.zipped(builders.x(tmp_path / "x"), tmp_path / "twitter-2024.zip"))
    assert (report.locator, report.fetched, report.skipped, report.failed) == ("export:jane_doe", 5, 2, 0)
    assert importing.documents() == {
        "A thread on queues. First: count.": (
            "A thread on queues. First: count.\n\nSecond: stop. https://example.org/queues\n\nThird: tests & patience."
        ),
        "No: a queue is a debt.": "No: a queue is a debt.",
        "Here is the picture": "Here is the picture",
        "A typo here, gone": "A typo here, gone",
        builders.NOTE: builders.NOTE,
    }
    assert importing.reasons(report) == {
        "tweet:1004": "a retweet: somebody else's words",
        "tweet:1007": "an earlier version of a post that was edited",
    }


def test_a_thread_without_its_first_post_stands_with_the_rest(tmp_path: Path, make_settings: MakeSettings) -> None:
    tweets = [one for one in builders.TWEETS if one["tweet"]["id_str"] in {"1002", "1003"}]  # type: ignore[index]
    found = taken(items_of(builders.x(tmp_path / "x", tweets), make_settings()))
    assert {name: item.metadata["thread"] for name, item in found.items()} == {"tweet:1002": ["1002", "1003"]}


def test_x_of_before_2019_has_another_file_and_shape(tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "tweet.js").write_text(
        'window.YTD.tweet.part0 = [ {"id_str": "5", "full_text": "Old &lt;post&gt;", "created_at": '
        '"Sat Feb 18 12:33:11 +0000 2017"} ]'
    )
    (item,) = taken(items_of(tmp_path, make_settings())).values()
    assert (item.body, item.written_at) == (b"Old <post>", datetime(2017, 2, 18, 12, 33, 11, tzinfo=UTC))


def test_mbox(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.mbox(tmp_path / "mail"))
    assert (report.locator, report.fetched, report.skipped, report.failed) == ("export:jane@example.org", 2, 2, 0)
    assert importing.documents() == {
        "Züge": (
            "Hello Bob,\n\nthe train to Köln leaves at nine.\n\n> which train?\n\nThat one.\n\nFrom there we walk."
        ),
        "The plan": "We start on **Monday**. Bring rope.",
    }
    assert set(importing.reasons(report).values()) == {
        "no words of the author's: a forward, an attachment, or quotes only",
        "1 messages from others",
    }


def test_mail_that_says_nothing_of_its_owner_needs_a_name(tmp_path: Path, make_settings: MakeSettings) -> None:
    file = tmp_path / "archive.mbox"
    file.write_text(builders.MBOX.replace("X-Gmail-Labels: Sent", "X-Labels: Sent"))
    (found,) = formats.recognise(file, {}, make_settings())
    assert set(found.candidates) >= {"jane@example.org", "bob@example.org"}
    assert len(taken(items_of(file, make_settings(), "jane@example.org"))) == 2
    bob = taken(items_of(file, make_settings(), "Bob"))
    assert [item.body for item in bob.values()] == [b"Not Jane's words."]


def test_telegram(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.telegram(tmp_path / "t"))
    assert (report.locator, report.fetched, report.failed) == ("export:jane_tg", 1, 0)
    text = "A bowline, because the load closes it."
    assert importing.documents() == {text: f"{text}\n\nIt also opens again."}
    reasons = importing.reasons(report)
    assert CONVERSATION in str(reasons["day:2/2023-01-03"])
    assert reasons["day:2/others"] == "2 messages that are not the author's words"


def test_an_own_channel_is_named_and_its_messages_are_posts(tmp_path: Path, make_settings: MakeSettings) -> None:
    found = taken(items_of(builders.telegram(tmp_path / "t"), make_settings(), "Jane's Log"))
    assert found["message:9/1"].body == b"Laid up the boat today."
    assert found["message:9/1"].platform_id == "telegram:9/1"


def test_one_telegram_chat_needs_a_name(tmp_path: Path, make_settings: MakeSettings) -> None:
    folder = builders.telegram(tmp_path / "t", whole=False)
    (found,) = formats.recognise(folder, {}, make_settings())
    assert (found.account, found.candidates) == ("Bob", ("Bob", "Jane"))
    own = taken(items_of(folder, make_settings(), "Jane"))
    assert [cleaned(item).text for item in own.values()] == [
        "A bowline, because the load closes it.\n\nIt also opens again."
    ]


def test_whatsapp(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.whatsapp(tmp_path / "w"))
    assert (report.locator, report.fetched, report.failed) == ("export:Bob", 2, 0)
    assert importing.documents() == {
        "Yes, at noon:": "Yes, at noon:\nwith the long rope and bread.",
        "The wind turned, we stay another day.": "The wind turned, we stay another day.",
    }


def test_whatsapp_from_an_iphone_comes_in_a_zip_named_after_the_other(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    builders.whatsapp(tmp_path / "w", builders.WHATSAPP_IOS, "_chat.txt")
    path = builders.zipped(tmp_path / "w", tmp_path / "WhatsApp Chat - Bob.zip")
    (item,) = taken(items_of(path, make_settings())).values()
    assert item.body == b"Yes, at noon, with the long rope."
    assert item.written_at == datetime(2023, 1, 2, 10, 2, tzinfo=UTC)


def test_a_group_needs_a_name(tmp_path: Path, make_settings: MakeSettings) -> None:
    text = builders.WHATSAPP_ANDROID + "1/14/23, 9:00 AM - Carol: I am in as well.\n"
    file = builders.whatsapp(tmp_path / "w", text, "WhatsApp Chat with Sailing.txt")
    (found,) = formats.recognise(file, {}, make_settings())
    assert found.candidates == ("Bob", "Carol", "Jane Doe")


def test_papers(tmp_path: Path, importing: Importing) -> None:
    report = importing.import_(builders.papers(tmp_path / "papers"))
    assert (report.platform, report.fetched, report.failed) == ("papers", 2, 0)
    assert importing.documents() == {
        "Knots in use": "# The bowline\n\nIt holds because the load closes it.\n\nThat is all.",
        "On Ropes": (
            "On Ropes\n\nA rope remembers every load it has ever held, which is why we inspect it before it is asked to hold "
            "a person again, and not after.\n\nThe second page says so once more, with other words and a longer breath, and "
            "ends here.\n\nThe third page closes the case."
        ),
    }


def test_papers_that_cannot_be_read_fail_alone(tmp_path: Path, make_settings: MakeSettings) -> None:
    folder = builders.papers(tmp_path / "papers")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 and then nothing")
    (folder / "scan.pdf").write_bytes(builders.pdf([[]]))
    items = items_of(folder, make_settings())
    assert len(taken(items)) == 2
    reasons = left_out(items)
    assert "broken PDF" in reasons["paper:broken.pdf"]
    assert "broken DOCX" in reasons["paper:broken.docx"]
    assert "OCR" in reasons["paper:scan.pdf"]


def test_a_folder_of_notes_is_read_and_followed_as_a_folder(tmp_path: Path, make_settings: MakeSettings) -> None:
    vault = tmp_path / "vault"
    (vault / ".obsidian").mkdir(parents=True)
    (vault / "tides.md").write_text("---\ncreated: 2024-01-02\n---\nSee [[ropes|the ropes]].\n")
    (source,) = sources_of(vault, make_settings())
    assert (source.platform, source.locator, source.options) == ("folder", str(vault.resolve()), {})
    (item,) = taken(items_of(vault, make_settings())).values()
    assert cleaned(item).text == "See the ropes."


def test_a_folder_or_zip_of_several_exports_gives_each(tmp_path: Path, make_settings: MakeSettings) -> None:
    everything = tmp_path / "downloads"
    builders.linkedin(everything / "linkedin")
    builders.x(everything / "x")
    builders.zipped(builders.medium(tmp_path / "m"), everything / "medium.zip")
    builders.zipped(
        builders.zipped(builders.substack(tmp_path / "s"), tmp_path / "s.zip"), everything / "substack.zip.zip"
    )
    builders.papers(everything / "attachments")
    expected = {
        ("linkedin", "Jane Doe", "linkedin"),
        ("x", "jane_doe", "x"),
        ("medium", "jane.doe", "medium.zip"),
        ("substack", "janes-letters", "substack.zip.zip/s.zip"),
    }
    found = formats.recognise(everything, {}, make_settings())
    assert {(one.platform, one.account, one.inside) for one in found} == expected
    together = formats.recognise(builders.zipped(everything, tmp_path / "all.zip"), {}, make_settings())
    assert {(one.platform, one.account, one.inside) for one in together} == expected


def test_what_is_nothing_is_told_with_what_would_be_something(tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"linkedin: Shares\.csv.*mbox: .*medium: posts.*whatsapp"):
        formats.recognise(tmp_path, {}, make_settings())
