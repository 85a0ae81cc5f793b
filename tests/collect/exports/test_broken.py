"""No malformed export stops an import, and what is broken in one place costs that place only."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.collect.exports import builders
from tests.collect.exports.reading import cleaned, items_of, sources_of
from tests.collect.runs import by_id, listed
from twin_core.collect import formats
from twin_core.collect.registry import collector_for
from twin_core.errors import TwinError
from twin_core.records import Failed, Found, Item, Listed, Skipped
from twin_core.settings import Settings

HERE = Settings(_env_file=None)
BUILD: dict[str, Callable[[Path], Path]] = {
    "linkedin": builders.linkedin,
    "medium": builders.medium,
    "substack": builders.substack,
    "x": builders.x,
    "mbox": builders.mbox,
    "telegram": builders.telegram,
    "whatsapp": builders.whatsapp,
    "papers": builders.papers,
}
many = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = 20


def truncated(body: bytes, where: float) -> bytes:
    return body[: int(len(body) * where)]


def in_another_encoding(body: bytes, where: float) -> bytes:
    text = body.decode("utf-8", "ignore")
    encoding = ["utf-16", "latin-1", "utf-8-sig", "cp1252", "utf-16-be", "utf-32"][int(where * 5.99)]
    return text.encode(encoding, "replace")


def with_noise(body: bytes, where: float) -> bytes:
    at = int(len(body) * where)
    return body[:at] + random.Random(at).randbytes(40) + body[at + 20 :]


def with_broken_markup(body: bytes, where: float) -> bytes:
    at = int(len(body) * where)
    return body[:at] + body[at:].replace(b"</", b"<", 3).replace(b">", b"", 2).replace(b'"', b"", 1)


def with_moved_columns(body: bytes, where: float) -> bytes:
    lines = body.decode("utf-8", "ignore").split("\n")
    return "\n".join(",".join(reversed(line.split(","))) for line in lines).encode()


DAMAGE = st.sampled_from([truncated, in_another_encoding, with_noise, with_broken_markup, with_moved_columns])


def check_storable(items: list[Item]) -> None:
    """What the run is given can be stored: no item twice, no text that a database refuses."""
    for item in by_id(items).values():
        texts = [item.native_id, getattr(item, "location", ""), getattr(item, "reason", ""), getattr(item, "title", "")]
        for text in texts:
            (text or "").encode("utf-8")
            assert "\0" not in (text or "")
        if isinstance(item, Found):
            json.dumps(dict(item.metadata))
            assert cleaned(item).text.strip()


@pytest.mark.parametrize("platform", sorted(BUILD))
@many
@given(damage=DAMAGE, which=st.integers(0, 100), where=st.floats(0, 1))
def test_no_damage_stops_an_import(
    platform: str,
    tmp_path_factory: pytest.TempPathFactory,
    damage: Callable[[bytes, float], bytes],
    which: int,
    where: float,
) -> None:
    path = BUILD[platform](tmp_path_factory.mktemp("export") / "e")
    (source,) = sources_of(path, HERE)
    whole = [item for item in collector_for(platform).collect(source, {}, HERE) if isinstance(item, Found)]
    files = sorted(one for one in path.rglob("*") if one.is_file()) or [path]
    victim = files[which % len(files)]
    victim.write_bytes(damage(victim.read_bytes(), where))
    items = list(collector_for(platform).collect(source, {}, HERE))
    check_storable(items)
    if platform in {"medium", "papers"}:  # one file for each item: all others are as they were
        found = {item.native_id: item for item in items if isinstance(item, Found)}
        touched = {item.native_id for item in whole if item.native_id not in found}
        assert len(touched) <= 1
    with suppress(TwinError):  # it may be nothing any more, and says so
        formats.recognise(path, {}, HERE)


def shares(count: int = ROWS) -> list[dict[str, str]]:
    return [
        {
            "Date": f"2024-01-{number + 1:02} 08:00:00",
            "ShareLink": f"https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A{number}",
            "ShareCommentary": f'Share {number} says "hello",\nand goes on.',
            "Visibility": "PUBLIC",
        }
        for number in range(count)
    ]


COLUMNS = ["Date", "ShareLink", "ShareCommentary", "Visibility"]


def numbers_of(items: list[Item], kind: str = "share:urn:li:share:") -> set[int]:
    return {
        int(item.native_id.removeprefix(kind))
        for item in items
        if isinstance(item, Found) and item.native_id.startswith(kind)
    }


@many
@given(columns=st.permutations([*COLUMNS, "Something new"]))
def test_columns_may_stand_in_any_order(tmp_path_factory: pytest.TempPathFactory, columns: list[str]) -> None:
    folder = tmp_path_factory.mktemp("moved")
    (folder / "Shares.csv").write_text(builders.as_csv(shares(), columns), "utf-8-sig")
    items = items_of(folder, HERE)
    assert numbers_of(items) == set(range(ROWS))
    (first,) = [item for item in items if isinstance(item, Found) and item.native_id.endswith(":3")]
    assert first.body.decode() == 'Share 3 says "hello",\nand goes on.'


@many
@given(row=st.integers(0, ROWS - 1), noise=st.sampled_from(['"', 'x"', '",', '"""', "\x00", "\x1f\x00", '"\r']))
@example(row=0, noise='"')
def test_a_wrong_row_costs_itself_and_at_most_its_neighbour(
    tmp_path_factory: pytest.TempPathFactory, row: int, noise: str
) -> None:
    folder = tmp_path_factory.mktemp("wrong")
    text = builders.as_csv(shares(), COLUMNS)
    at = text.index(f"Share {row} says")
    (folder / "Shares.csv").write_text(text[:at] + noise + text[at:], "utf-8", newline="")
    items = items_of(folder, HERE)
    check_storable(items)
    assert set(range(ROWS)) - numbers_of(items) <= {row, row + 1}


@many
@given(where=st.floats(0.1, 1))
def test_a_cut_table_gives_every_row_before_the_cut(tmp_path_factory: pytest.TempPathFactory, where: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    text = builders.as_csv(shares(), COLUMNS)
    cut = text[: int(len(text) * where)]
    (folder / "Shares.csv").write_text(cut, newline="")
    complete = cut.count("PUBLIC\r\n")
    assert numbers_of(items_of(folder, HERE)) >= set(range(complete))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_in_another_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    rows = [{**row, "ShareCommentary": f"Größe {number}"} for number, row in enumerate(shares())]
    (tmp_path / "Shares.csv").write_text(builders.as_csv(rows, COLUMNS), encoding, newline="")
    items = items_of(tmp_path, HERE)
    assert numbers_of(items) == set(range(ROWS))
    assert {item.body.decode() for item in items if isinstance(item, Found)} == {f"Größe {n}" for n in range(ROWS)}


@many
@given(where=st.floats(0.05, 1))
def test_a_cut_archive_of_x_gives_every_post_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, where: float
) -> None:
    folder = tmp_path_factory.mktemp("x")
    tweets = [builders.tweet(number, f"Post {number}", "Sat Feb 18 12:33:11 +0000 2023") for number in range(40)]
    builders.x(folder, tweets)
    part = folder / "data" / "tweets.js"
    text = part.read_text()
    part.write_text(text[: int(len(text) * where)])
    items = list(
        collector_for("x").collect(
            sources_of(builders.x(folder.with_name(folder.name + "w"), tweets), HERE)[0], {}, HERE
        )
    )
    assert numbers_of(items, "tweet:") == set(range(40))
    (source,) = sources_of(folder, HERE) or [None]
    items = list(collector_for("x").collect(source, {}, HERE))
    cut = part.read_text()
    assert numbers_of(items, "tweet:") >= set(range(20, 40)) | set(range(cut.count('"entities"') - 1))
    if where < 0.99:
        assert any(isinstance(item, Failed) for item in items)
        assert listed(items) is None


@many
@given(message=st.integers(0, 9), noise=st.binary(min_size=1, max_size=200))
def test_a_damaged_message_costs_itself(tmp_path_factory: pytest.TempPathFactory, message: int, noise: bytes) -> None:
    file = tmp_path_factory.mktemp("mail") / "Sent.mbox"
    body = b"".join(
        f"From jane Mon Jan 02 10:00:00 2023\nMessage-ID: <{number}@x>\nFrom: jane@example.org\nSubject: {number}\n"
        f"Content-Type: text/plain; charset=utf-8\n\nThis is message {number}, with words.\n\n".encode()
        for number in range(10)
    )
    at = body.index(f"Subject: {message}\n".encode())
    file.write_bytes(body[:at] + noise + body[at:])
    found = {item.native_id for item in items_of(file, HERE, "jane@example.org") if isinstance(item, Found)}
    assert {f"mail:{number}@x" for number in range(10) if number != message} <= found


def test_a_table_without_its_names_fails_and_the_other_tables_are_read(tmp_path: Path) -> None:
    folder = builders.linkedin(tmp_path / "l")
    (source,) = sources_of(folder, HERE)
    (folder / "Shares_4711.csv").write_text("one,two\n1,2\n")
    items = list(collector_for("linkedin").collect(source, {}, HERE))
    assert [item.reason for item in items if isinstance(item, Failed)] == [
        "Shares_4711.csv has no line that names its columns (Date, ShareLink, ShareCommentary, SharedUrl, MediaUrl, Visibility)"
    ]
    assert len([item for item in items if isinstance(item, Found)]) == 3
    assert not any(isinstance(item, Listed) for item in items)


def test_a_damaged_member_of_a_zip_costs_itself(tmp_path: Path) -> None:
    path = builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "m.zip")
    (source,) = sources_of(path, HERE)
    body = bytearray(path.read_bytes())
    at = body.index(b"posts/2023-05-04") + 120
    body[at : at + 30] = bytes(30)
    path.write_bytes(body)
    items = list(collector_for("medium").collect(source, {}, HERE))
    assert {type(item) for item in items} == {Found, Failed, Skipped}
    assert [item.native_id for item in items if isinstance(item, Failed)] == ["story:3f2a9c11b0de"]
