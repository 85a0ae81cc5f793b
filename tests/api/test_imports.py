"""An export is uploaded by the API and imported by what the run calls: from the bytes on the wire to stored documents."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.api.conftest import Api
from tests.api.test_keys_and_limits import is_problem
from tests.collect.exports import builders
from twin_core import forgetting
from twin_core.collect import importing
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import authors, facts, import_requests
from twin_core.warehouse.postgres import PostgresWarehouse


@pytest.fixture
def writer(api: Api) -> Iterator[httpx2.Client]:
    with api.client(api.new_key(api.jane, "write").secret) as client:
        yield client


def upload(client: httpx2.Client, path: Path, **fields: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = client.post("/v1/imports", files={"file": (path.name, file)}, data=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


def run_imports(api: Api, settings: Settings, author: Author) -> None:
    """What the run does that the sensor asks for."""
    with api.database.transaction() as conn:
        asked = import_requests.open_imports(conn, author.id).get(author.id, [])
    importing.take_uploads(api.database, PostgresWarehouse(api.database), author, asked, settings=settings)


def uploads(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "uploads").rglob("*") if path.is_file()]


def stored(api: Api) -> int:
    with api.database.transaction() as conn:
        return facts.totals(conn, api.jane.id).documents


def test_an_export_is_uploaded_imported_and_shown_with_its_ledger(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    before = stored(api)
    path = builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip")
    asked = upload(writer, path)
    assert (asked["state"], asked["name"], asked["bytes"]) == ("requested", "medium.zip", path.stat().st_size)
    assert asked["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()

    run_imports(api, settings, api.jane)

    done = writer.get(f"/v1/imports/{asked['id']}").json()
    assert (done["state"], done["problem"]) == ("done", None)
    assert stored(api) - before == 2
    (source,) = done["source_ids"]
    items = writer.get(f"/v1/sources/{source}/items").json()["items"]
    assert sorted(one["outcome"] for one in items) == ["fetched", "fetched", "skipped"]
    (request,) = done["collect_ids"]
    assert writer.get(f"/v1/collect/{request}").json()["request"]["state"] == "done"
    with api.database.transaction() as conn:
        consent = authors.source_by_id(conn, UUID(source)).consent
    assert consent is not None
    assert asked["sha256"] in consent.proof
    assert [path.parent.name for path in uploads(settings)] == [source]


def test_a_newer_export_takes_the_place_of_the_older_and_only_what_changed_is_new(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    folder = builders.medium(tmp_path / "m")
    upload(writer, builders.zipped(folder, tmp_path / "old.zip"))
    run_imports(api, settings, api.jane)
    there = stored(api)
    (folder / "posts" / "2023-07-01_Third-777788889999.html").write_text(
        builders.medium_page("Third", '<p class="graf">A third.</p>', canonical="https://medium.com/@jane.doe/third-777788889999",
                             date="2023-07-01T10:00:00.000Z"), "utf-8",
    )  # fmt: skip
    again = upload(writer, builders.zipped(folder, tmp_path / "new.zip"))
    run_imports(api, settings, api.jane)
    assert stored(api) == there + 1
    assert [path.name for path in uploads(settings)] == ["new.zip"]
    shown = writer.get("/v1/imports").json()["imports"]
    assert [one["name"] for one in shown] == ["new.zip", "old.zip"]
    assert again["id"] == shown[0]["id"]


def test_forgetting_what_it_gave_takes_the_upload_along(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    asked = upload(writer, builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    run_imports(api, settings, api.jane)
    (source,) = writer.get(f"/v1/imports/{asked['id']}").json()["source_ids"]
    (one, _) = writer.get("/v1/documents", params={"source_id": source}).json()["documents"]
    warehouse = PostgresWarehouse(api.database)
    receipt = forgetting.forget(api.database, warehouse, api.jane, [UUID(one["id"])], settings=settings)
    assert receipt.stores["uploads"].before == 1
    assert uploads(settings) == []


def test_an_author_who_is_forgotten_leaves_no_upload_behind_not_even_one_that_waits(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    upload(writer, builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    assert uploads(settings)
    forgetting.forget_author(api.database, PostgresWarehouse(api.database), api.jane, settings=settings)
    assert uploads(settings) == []
    with api.database.transaction() as conn:
        assert import_requests.open_imports(conn) == {}


def test_a_chat_whose_author_is_not_clear_is_refused_with_the_names_and_taken_with_one(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    path = builders.zipped(builders.telegram(tmp_path / "t", whole=False), tmp_path / "telegram.zip")
    refused = upload(writer, path)
    run_imports(api, settings, api.jane)
    shown = writer.get(f"/v1/imports/{refused['id']}").json()
    assert shown["state"] == "refused"
    assert "There are: Bob, Jane." in shown["problem"]
    assert uploads(settings) == []
    taken = upload(writer, path, **{"as": ["Jane"]})
    run_imports(api, settings, api.jane)
    assert writer.get(f"/v1/imports/{taken['id']}").json()["state"] == "done"


def test_files_that_anybody_can_have_need_a_claim(
    api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    path = builders.zipped(builders.papers(tmp_path / "papers"), tmp_path / "papers.zip")
    first, second = upload(writer, path), upload(writer, path, mine="true", claimed_by="Jane")
    run_imports(api, settings, api.jane)
    shown = [writer.get(f"/v1/imports/{one['id']}").json() for one in (first, second)]
    assert [one["state"] for one in shown] == ["refused", "done"]
    assert "`mine`" in shown[0]["problem"]


def hostile(kind: str, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        if kind == "out of it":
            file.writestr("../../.ssh/authorized_keys", "mine")
        elif kind == "absolute":
            file.writestr("/etc/passwd", "mine")
        elif kind == "bomb":
            file.writestr("posts/a.html", b"\0" * 80_000_000)
        elif kind == "link":
            info = zipfile.ZipInfo("posts/a.html")
            info.external_attr = 0o120777 << 16
            file.writestr(info, "/etc/passwd")
    if kind == "broken":
        path.write_bytes(b"PK\x03\x04" + os.urandom(500))
    if kind == "nothing known":
        path.write_bytes(os.urandom(500))
    return path


@pytest.mark.parametrize("kind", ["out of it", "absolute", "bomb", "link", "broken", "nothing known"])
def test_a_hostile_archive_is_refused_in_words_and_leaves_nothing(
    kind: str, api: Api, writer: httpx2.Client, settings: Settings, tmp_path: Path
) -> None:
    before = stored(api)
    asked = upload(writer, hostile(kind, tmp_path / "export.zip"))
    run_imports(api, settings, api.jane)
    shown = writer.get(f"/v1/imports/{asked['id']}").json()
    assert shown["state"] == "refused"
    assert str(settings.home) not in shown["problem"]
    assert uploads(settings) == []
    assert stored(api) == before


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/evil", "C:\\Windows\\evil.zip", "/etc/passwd", "..", "a\x00b.zip", "x" * 300 + ".zip"]
)
def test_a_files_name_never_leads_out_of_its_folder(
    name: str, api: Api, writer: httpx2.Client, settings: Settings
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\nx\r\n--b--\r\n'
    )
    answer = writer.post("/v1/imports", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code in {202, 400}, answer.text
    for path in uploads(settings):
        assert path.resolve().is_relative_to(settings.home / "uploads" / str(api.jane.id) / "incoming")
        assert len(path.name) <= 120


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"x=1", "application/x-www-form-urlencoded"),
        (b"--b\r\n", "multipart/form-data"),
        (b'--b\r\nContent-Disposition: form-data; name="mine"\r\n\r\ntrue\r\n--b--\r\n', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n--b--\r\n', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--b--\r\n', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n/etc\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n', "multipart/form-data; boundary=b"),
        (b"not a form at all", "multipart/form-data; boundary=b"),
    ],
)  # fmt: skip
def test_what_is_no_form_with_a_file_is_a_problem_and_leaves_nothing(
    form: bytes, kind: str, writer: httpx2.Client, settings: Settings
) -> None:
    is_problem(writer.post("/v1/imports", content=form, headers={"Content-Type": kind}), 400)
    assert uploads(settings) == []


def test_another_authors_imports_do_not_exist_for_this_key(api: Api, writer: httpx2.Client, tmp_path: Path) -> None:
    asked = upload(writer, builders.zipped(builders.medium(tmp_path / "m"), tmp_path / "medium.zip"))
    with api.client(api.new_key(api.mallory, "admin").secret) as client:
        is_problem(client.get(f"/v1/imports/{asked['id']}"), 404)
        assert client.get("/v1/imports").json()["imports"] == []
    with api.client() as reader:
        is_problem(reader.post("/v1/imports", files={"file": ("a.zip", b"x")}), 403)


def test_uploads_that_wait_are_limited_and_what_broke_off_is_swept(
    api: Api, writer: httpx2.Client, settings: Settings
) -> None:
    for _ in range(10):
        assert writer.post("/v1/imports", files={"file": ("a.zip", b"x")}).status_code == 202
    is_problem(writer.post("/v1/imports", files={"file": ("a.zip", b"x")}), 429)
    left = settings.home / "uploads" / str(api.jane.id) / "incoming" / "of yesterday"
    left.mkdir()
    os.utime(left, (1, 1))
    run_imports(api, settings, api.jane)
    assert not left.exists()
    shutil.rmtree(settings.home / "uploads")


class TestWithASmallLimit:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"import_max_upload_bytes": 3_000_000})

    def test_a_file_above_the_limit_is_refused_announced_or_not(
        self, writer: httpx2.Client, settings: Settings
    ) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'

        def stream() -> Iterator[bytes]:
            yield head
            for _ in range(40):
                yield bytes(100_000)
            yield b"\r\n--b--\r\n"

        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        is_problem(writer.post("/v1/imports", content=stream(), headers=kind), 413)
        is_problem(writer.post("/v1/imports", content=head + bytes(4_000_000), headers=kind), 413)
        assert uploads(settings) == []
