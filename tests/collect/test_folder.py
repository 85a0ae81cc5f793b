"""A folder of notes: what is taken, what is left and why, and what a second run sees."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collect.conftest import source_of
from tests.collect.runs import by_id, known_after, listed
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, SourceUnavailable
from twin_core.records import Category, Failed, Found, Item, Known, Skipped, Unchanged
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "first.md").write_text("# The first\n\nSome words on tides.\n")
    return folder


def collect(
    folder: Path, settings: Settings, known: dict[str, Known] | None = None, **options: str | list[str]
) -> list[Item]:
    return list(collector_for("folder").collect(source_of("folder", str(folder), **options), known or {}, settings))


def test_front_matter_gives_title_date_tags_and_category(notes: Path, make_settings: MakeSettings) -> None:
    body = "---\ntitle: On tides\ndate: 2024-03-05\ntags: [sea, moon]\ncategory: post\n---\n\nThe sea comes back.\n"
    (notes / "tides.md").write_text(body)
    found = by_id(collect(notes, make_settings()))["tides.md"]
    assert isinstance(found, Found)
    assert (found.title, found.category) == ("On tides", Category.POST)
    assert found.written_at == datetime(2024, 3, 5, tzinfo=UTC)
    assert found.metadata["tags"] == ["sea", "moon"]
    assert found.body == body.encode()
    assert found.location == str(notes / "tides.md")


def test_a_title_comes_from_the_first_heading_and_never_from_a_comment_in_code(
    notes: Path, make_settings: MakeSettings
) -> None:
    (notes / "a.md").write_text("```bash\n# not this\n```\n\n# But this\n\nwords\n")
    (notes / "2023-07-01-a-walk_home.txt").write_text("We walked.\n")
    found = by_id(collect(notes, make_settings()))
    assert getattr(found["a.md"], "title") == "But this"  # noqa: B009
    walk = found["2023-07-01-a-walk_home.txt"]
    assert isinstance(walk, Found)
    assert walk.title == "a walk home"
    assert walk.written_at == datetime(2023, 7, 1, tzinfo=UTC)


def test_a_file_without_a_stated_date_has_none(notes: Path, make_settings: MakeSettings) -> None:
    first = by_id(collect(notes, make_settings()))["first.md"]
    assert isinstance(first, Found)
    assert first.written_at is None


def test_html_is_read_as_a_page(notes: Path, make_settings: MakeSettings) -> None:
    text = "Some sentence about the harbour that is long enough to count as the main text of a page. " * 6
    (notes / "page.html").write_text(
        f"<html><head><title>The harbour</title></head><body><nav>Menu</nav><article><p>{text}</p></article></body></html>"
    )
    (notes / "bare.html").write_text("<html><head><title>Nothing</title></head><body></body></html>")
    items = by_id(collect(notes, make_settings()))
    page, bare = items["page.html"], items["bare.html"]
    assert isinstance(page, Found)
    assert (page.title, page.media_type) == ("The harbour", "text/html")
    assert isinstance(bare, Skipped)
    assert bare.reason == "empty body after extraction"


def test_a_second_run_reads_nothing_and_says_unchanged(notes: Path, make_settings: MakeSettings) -> None:
    os.utime(notes / "first.md", (1_600_000_000, 1_600_000_000))
    first = collect(notes, make_settings())
    (notes / "first.md").write_bytes(b"x" * len((notes / "first.md").read_bytes()))  # same size
    os.utime(notes / "first.md", (1_600_000_000, 1_600_000_000))  # and same time: not even opened
    second = collect(notes, make_settings(), known_after(first))
    assert isinstance(second[0], Unchanged)
    assert listed(second) is not None


def test_a_touched_file_is_read_and_found_unchanged(notes: Path, make_settings: MakeSettings) -> None:
    known = known_after(collect(notes, make_settings()))
    os.utime(notes / "first.md", (1_700_000_000, 1_700_000_000))
    assert isinstance(collect(notes, make_settings(), known)[0], Unchanged)


def test_an_edit_within_the_same_clock_tick_and_size_is_seen(notes: Path, make_settings: MakeSettings) -> None:
    known = known_after(collect(notes, make_settings()))
    stamp = (notes / "first.md").stat().st_mtime_ns
    (notes / "first.md").write_text("# The first\n\nSome words on TIDES.\n")
    os.utime(notes / "first.md", ns=(stamp, stamp))
    assert isinstance(collect(notes, make_settings(), known)[0], Found)


def test_an_edit_an_addition_and_a_deletion_are_three_outcomes(notes: Path, make_settings: MakeSettings) -> None:
    (notes / "second.md").write_text("# The second\n\nMore.\n")
    known = known_after(collect(notes, make_settings()))
    (notes / "first.md").write_text("# The first\n\nEdited words.\n")
    (notes / "third.md").write_text("# The third\n\nNew.\n")
    (notes / "second.md").unlink()
    items = collect(notes, make_settings(), known)
    assert {name: type(item) for name, item in by_id(items).items()} == {"first.md": Found, "third.md": Found}
    assert set(known_after(items, known)) == {"first.md", "third.md"}


def test_a_corrected_title_or_date_is_a_new_revision(notes: Path, make_settings: MakeSettings) -> None:
    (notes / "a.md").write_text("---\ntitle: Old\n---\nText.\n")
    known = known_after(collect(notes, make_settings()))
    (notes / "a.md").write_text("---\ntitle: New\n---\nText.\n")
    assert isinstance(by_id(collect(notes, make_settings(), known))["a.md"], Found)


def test_a_draft_is_withdrawn(notes: Path, make_settings: MakeSettings) -> None:
    (notes / "first.md").write_text("---\ndraft: true\n---\nNot yet.\n")
    item = by_id(collect(notes, make_settings()))["first.md"]
    assert isinstance(item, Skipped)
    assert item.withdrawn


def test_bad_files_fail_or_are_skipped_with_a_reason_and_the_rest_goes_on(
    notes: Path, make_settings: MakeSettings
) -> None:
    (notes / "broken.md").write_text("---\ntitle: [unclosed\nother: x\n---\nText.\n")
    (notes / "empty.md").write_text("")
    (notes / "blank.md").write_text("---\ntitle: Only this\n---\n\n")
    (notes / "binary.md").write_bytes(b"text\0with nul")
    (notes / "latin.md").write_bytes("# Köln\n\nGrüße aus Köln.\n".encode("latin-1"))
    (notes / "large.md").write_text("word " * 1_000)
    os.symlink("loop.md", notes / "loop.md")
    items = by_id(collect(notes, make_settings(max_file_bytes=2_000)))
    reasons = {name: (type(item), getattr(item, "reason", "")) for name, item in items.items()}
    assert reasons["broken.md"][0] is Failed
    assert "line" in reasons["broken.md"][1]
    assert reasons["empty.md"] == (Skipped, "the file is empty")
    assert reasons["blank.md"] == (Skipped, "no text besides the front matter")
    assert reasons["binary.md"][0] is Failed
    assert "binary" in reasons["binary.md"][1]
    assert reasons["latin.md"][0] is Found
    assert reasons["large.md"][0] is Skipped
    assert "TWIN_MAX_FILE_BYTES" in reasons["large.md"][1]
    assert reasons["loop.md"][0] is Failed
    assert reasons["first.md"][0] is Found


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything: run the tests as another user to see this one")
def test_an_unreadable_file_fails_with_the_systems_reason(notes: Path, make_settings: MakeSettings) -> None:
    (notes / "first.md").chmod(0)
    item = by_id(collect(notes, make_settings()))["first.md"]
    assert isinstance(item, Failed)
    assert "Permission denied" in item.reason


def test_a_named_pipe_is_left_alone(notes: Path, make_settings: MakeSettings) -> None:
    os.mkfifo(notes / "pipe.md")
    assert isinstance(by_id(collect(notes, make_settings()))["pipe.md"], Skipped)


def test_links_out_of_the_folder_are_not_followed(notes: Path, tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "secret.md").write_text("# Secret\n")
    os.symlink(tmp_path / "secret.md", notes / "out.md")
    os.symlink(tmp_path, notes / "outside")
    items = by_id(collect(notes, make_settings()))
    assert {name for name, item in items.items() if isinstance(item, Found)} == {"first.md"}
    assert "out of the folder" in getattr(items["out.md"], "reason")  # noqa: B009


def test_an_obsidian_vault_gives_its_notes_only(notes: Path, make_settings: MakeSettings) -> None:
    for path in (".obsidian/workspace.md", ".trash/old.md", "Templates/daily.md", "deep/down/note.md"):
        (notes / path).parent.mkdir(parents=True, exist_ok=True)
        (notes / path).write_text("See [[tides|the tides]].\n")
    items = by_id(collect(notes, make_settings()))
    assert {name: type(item) for name, item in items.items()} == {
        "first.md": Found,
        "deep/down/note.md": Found,
        "Templates/daily.md": Skipped,
    }


def test_globs_choose_files_and_categories(notes: Path, make_settings: MakeSettings) -> None:
    for path in ("posts/a.md", "posts/deep/b.md", "private/c.md", "code/run.py"):
        (notes / path).parent.mkdir(parents=True, exist_ok=True)
        (notes / path).write_text("x = 1\n")
    items = by_id(collect(notes, make_settings(), exclude="private/**", posts=["posts/**"], code="code/**"))
    assert {name: getattr(item, "category", None) for name, item in items.items()} == {
        "first.md": Category.ARTICLE,
        "posts/a.md": Category.POST,
        "posts/deep/b.md": Category.POST,
        "code/run.py": Category.CODE,
    }


def test_other_rules_make_every_file_be_read_again(notes: Path, make_settings: MakeSettings) -> None:
    os.utime(notes / "first.md", (1_600_000_000, 1_600_000_000))
    known = known_after(collect(notes, make_settings()))
    items = collect(notes, make_settings(), known, category="post")
    assert isinstance(items[0], Unchanged)
    assert items[0].validators["rules"] != known["first.md"].validators["rules"]


def test_a_folder_that_has_gone_deletes_nothing(notes: Path, tmp_path: Path, make_settings: MakeSettings) -> None:
    known = known_after(collect(notes, make_settings()))
    notes.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceUnavailable, match="no folder"):
        collect(notes, make_settings(), known)


def test_a_folder_suddenly_empty_deletes_nothing_and_says_what_to_do(notes: Path, make_settings: MakeSettings) -> None:
    known = known_after(collect(notes, make_settings()))
    (notes / "first.md").unlink()
    with pytest.raises(SourceUnavailable, match="may_be_empty=yes"):
        collect(notes, make_settings(), known)
    assert listed(collect(notes, make_settings(), known, may_be_empty="yes")) is not None


def test_an_empty_folder_of_which_nothing_is_known_is_just_empty(tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "new").mkdir()
    items = collect(tmp_path / "new", make_settings())
    assert listed(items) is not None
    assert len(items) == 1


def test_the_check_gives_the_absolute_path_or_says_what_is_wrong(
    notes: Path, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = collector_for("folder")
    monkeypatch.chdir(notes.parent)
    assert folder.check("notes", {}, make_settings()) == str(notes)
    with pytest.raises(InvalidInput, match="no folder"):
        folder.check("nowhere", {}, make_settings())
    with pytest.raises(InvalidInput, match="is a file"):
        folder.check("notes/first.md", {}, make_settings())
    with pytest.raises(InvalidInput, match="no option `colour`"):
        folder.check("notes", {"colour": "red"}, make_settings())
    with pytest.raises(InvalidInput, match="no category"):
        folder.check("notes", {"category": "poem"}, make_settings())


CONTENT = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=200).map(lambda text: f"---\n{text}\n---\nbody".encode("utf-8", "surrogatepass")),
    st.tuples(
        st.sampled_from(["title", "date", "tags", "category", "draft", "created"]),
        st.sampled_from(
            ["2024-13-99", "[a, [b, {c: d}]]", "&a [*a]", "!!python/name:os.system", "0001-01-01", "~", "'\\0'"]
        ),
    ).map(lambda pair: f"---\n{pair[0]}: {pair[1]}\n---\nSome text.".encode()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENT, suffix=st.sampled_from([".md", ".txt", ".html"]))
def test_no_content_of_one_file_stops_the_others(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / f"any{suffix}").write_bytes(content)
    (folder / "good.md").write_text("# Good\n\nStill here.\n")
    items = collect(folder, Settings(_env_file=None))
    found = by_id(items)
    assert isinstance(found["good.md"], Found)
    assert f"any{suffix}" in found
    assert listed(items) is not None
    for item in found.values():
        for value in (getattr(item, "title", None), getattr(item, "reason", None)):
            if value is not None:
                value.encode("utf-8")
                assert "\0" not in value
