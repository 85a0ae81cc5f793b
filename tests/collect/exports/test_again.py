"""An export is imported again: what is the same is unchanged, and nothing is lost by an archive that says less."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.collect.exports import builders
from tests.collect.exports.conftest import Importing
from twin_core.records import SourceReport

OLD, NEW = 1_700_000_000, 1_710_000_000


def made(folder: Path, at: int) -> Path:
    """The export as if it had been made then."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (at, at))
    return folder


def counts(report: SourceReport) -> tuple[int, int, int, int, int]:
    return report.fetched, report.unchanged, report.skipped, report.failed, report.deleted


def test_a_newer_export_of_the_same_account_is_the_same_source(tmp_path: Path, importing: Importing) -> None:
    first = importing.import_(made(builders.medium(tmp_path / "old"), OLD))
    newer = builders.medium(tmp_path / "new")
    story = next((newer / "posts").glob("*3f2a9c11b0de.html"))
    story.write_text(story.read_text().replace("A name is a promise.", "A name is a debt."))
    next((newer / "posts").glob("*0a1b2c3d4e5f.html")).unlink()
    (newer / "posts" / "2024-01-01_New-000011112222.html").write_text(
        builders.medium_page(
            "New", "<p>Something new.</p>", canonical="https://medium.com/p/000011112222", date="2024-01-01", tags="New"
        )
    )
    second = importing.import_(made(newer, NEW))
    assert first.source_id == second.source_id
    assert counts(first) == (2, 0, 1, 0, 0)
    assert counts(second) == (2, 0, 1, 0, 1)
    documents = importing.documents()
    assert set(documents) == {"Naming & other things", "New"}
    assert documents["Naming & other things"].startswith("A name is a debt.")


def test_what_was_published_and_is_a_draft_now_is_withdrawn(tmp_path: Path, importing: Importing) -> None:
    importing.import_(made(builders.medium(tmp_path / "old"), OLD))
    newer = builders.medium(tmp_path / "new")
    story = next((newer / "posts").glob("*3f2a9c11b0de.html"))
    story.rename(story.with_name("draft_Naming-things-3f2a9c11b0de.html"))
    report = importing.import_(made(newer, NEW))
    assert counts(report) == (0, 1, 1, 0, 1)


def test_a_sync_with_the_same_archive_reads_nothing(tmp_path: Path, importing: Importing) -> None:
    source = importing.add(builders.zipped(builders.x(tmp_path / "x"), tmp_path / "x.zip"))
    importing.sync(source)
    again = importing.sync(source)
    assert counts(again) == (0, 0, 1, 0, 0)
    assert again.complete
    assert importing.reasons(again) == {
        "the archive": "the archive has not changed since it was imported: 5 items stand"
    }


def test_a_sync_without_the_archive_deletes_nothing_and_says_so(tmp_path: Path, importing: Importing) -> None:
    source = importing.add(builders.substack(tmp_path / "s"))
    importing.sync(source)
    shutil.rmtree(tmp_path / "s")
    again = importing.sync(source)
    assert counts(again) == (0, 0, 1, 0, 0)
    assert again.complete
    assert "not there any more" in str(importing.reasons(again)["the archive"])
    assert len(importing.documents()) == 2


def test_an_import_that_was_stopped_is_read_again_to_its_end(
    tmp_path: Path, importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twin_core.collect.exports import medium

    source = importing.add(builders.medium(tmp_path / "m"))
    whole = medium.MediumExport.items

    def stopped(*arguments: object) -> object:
        yield next(iter(whole(*arguments)))  # type: ignore[arg-type]
        raise OSError("the disk went away")

    monkeypatch.setattr(medium.MediumExport, "items", stopped)
    assert importing.sync(source).error is not None
    monkeypatch.setattr(medium.MediumExport, "items", whole)
    report = importing.sync(source)
    assert (report.fetched + report.unchanged, report.error) == (2, None)
    assert len(importing.documents()) == 2


def test_an_older_export_adds_what_is_missing_and_changes_nothing(tmp_path: Path, importing: Importing) -> None:
    newer = builders.medium(tmp_path / "new")
    story = next((newer / "posts").glob("*3f2a9c11b0de.html"))
    story.write_text(story.read_text().replace("A name is a promise.", "A name is a debt."))
    next((newer / "posts").glob("*0a1b2c3d4e5f.html")).unlink()
    importing.import_(made(newer, NEW))
    report = importing.import_(made(builders.medium(tmp_path / "old"), OLD))
    assert counts(report) == (1, 1, 2, 0, 0)
    assert "older export" in str(importing.reasons(report)["the archive"])
    assert importing.documents()["Naming & other things"].startswith("A name is a debt.")


def test_an_export_without_a_kind_says_nothing_of_that_kind(tmp_path: Path, importing: Importing) -> None:
    importing.import_(made(builders.linkedin(tmp_path / "whole"), OLD))
    part = builders.linkedin(tmp_path / "part")
    shutil.rmtree(part / "Articles")
    report = importing.import_(made(part, NEW))
    assert counts(report) == (0, 3, 3, 0, 0)
    assert importing.reasons(report)["the archive"] == "this export has no article: those of an earlier one stay"
    assert len(importing.documents()) == 5


def test_an_export_that_could_not_be_read_in_a_part_deletes_nothing(tmp_path: Path, importing: Importing) -> None:
    importing.import_(made(builders.medium(tmp_path / "old"), OLD))
    newer = builders.medium(tmp_path / "new")
    next((newer / "posts").glob("*0a1b2c3d4e5f.html")).unlink()
    next((newer / "posts").glob("*3f2a9c11b0de.html")).write_bytes(bytes(100))
    report = importing.import_(made(newer, NEW))
    assert counts(report) == (0, 0, 2, 1, 0)
    assert len(importing.documents()) == 2


def test_a_mailbox_of_another_year_adds_to_the_first(tmp_path: Path, importing: Importing) -> None:
    importing.import_(builders.mbox(tmp_path / "2023"))
    other = builders.mbox(tmp_path / "2024")
    other.write_text(other.read_text().replace('@example.org>\nFrom: "Jane', '-2024@example.org>\nFrom: "Jane').replace(
        "leaves at nine", "leaves at ten").replace("<four@", "<five@").replace("Monday", "Tuesday"))  # fmt: skip
    report = importing.import_(other)
    assert (report.fetched, report.deleted) == (2, 0)
    with importing.database.transaction() as conn:
        from twin_core.store import facts

        assert facts.totals(conn, importing.author.id).documents == 4


def test_an_export_that_names_no_account_belongs_to_the_only_one_there_is(tmp_path: Path, importing: Importing) -> None:
    first = importing.add(builders.substack(tmp_path / "one"))
    nameless = builders.substack(tmp_path / "two")
    (nameless / "email_list.janes-letters.csv").unlink()
    assert importing.add(nameless).id == first.id


def test_the_same_items_come_from_a_zip_and_from_the_folder_it_was_unpacked_to(
    tmp_path: Path, importing: Importing
) -> None:
    folder = builders.linkedin(tmp_path / "l")
    source = importing.add(builders.zipped(folder, tmp_path / "l.zip"))
    importing.sync(source)
    again = importing.sync(replace(source, options={"archive": str(folder)}))
    assert (again.fetched, again.unchanged, again.deleted) == (0, 5, 0)
