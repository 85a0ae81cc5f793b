"""Both file stores, each over the real thing: a folder, and a server on this machine that speaks S3."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import free_port
from twin_core.errors import InvalidInput, NotFound, ServiceUnavailable, ValidationFailed
from twin_core.settings import Settings
from twin_core.store.files import FileStore, FolderFiles, S3Files, file_store, read_file

ADA, BELA = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=free_port(), verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server._port}"
    server.stop()


@pytest.fixture
def keys_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_endpoint: str, keys_of_aws: None) -> S3Files:
    name = f"twin-{uuid4().hex}"
    store = S3Files(f"s3://{name}/some/where?endpoint={s3_endpoint}")
    store._client.create_bucket(Bucket=name)
    return store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    return FolderFiles(tmp_path / "files") if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.mark.parametrize("content", [b"", b"one", bytes(range(256)) * 5000])
def test_what_was_put_comes_back_as_it_was(store: FileStore, content: bytes) -> None:
    key = store.put(ADA, content, ending="bin")
    assert store.exists(key)
    assert read_file(store, key) == content
    with store.open(key) as stream:
        assert stream.read(2) == content[:2]


def test_the_same_content_twice_is_one_file(store: FileStore) -> None:
    assert store.put(ADA, b"one", ending="txt") == store.put(ADA, b"one", ending="txt")
    assert len(list(store.list(ADA))) == 1


def test_a_key_depends_on_content_author_and_ending_alone(store: FileStore, tmp_path: Path) -> None:
    keys = {
        store.put(ADA, b"one", ending="txt"),
        store.put(BELA, b"one", ending="txt"),
        store.put(ADA, b"one", ending="md"),
        store.put(ADA, b"two", ending="txt"),
    }
    assert len(keys) == 4
    assert FolderFiles(tmp_path / "other").put(ADA, b"one", ending="txt") in keys


def test_an_authors_list_holds_that_authors_files(store: FileStore) -> None:
    assert list(store.list(ADA)) == []
    mine = [store.put(ADA, str(number).encode(), ending="txt") for number in range(5)]
    store.put(BELA, b"0", ending="txt")
    assert list(store.list(ADA)) == sorted(mine)


def test_what_is_deleted_is_gone_and_the_others_stay(store: FileStore) -> None:
    gone, stays, bela = (
        store.put(author, text, ending="txt") for author, text in ((ADA, b"1"), (ADA, b"2"), (BELA, b"1"))
    )
    assert store.delete(gone)
    assert not store.exists(gone)
    assert not store.delete(gone)
    assert read_file(store, stays) == b"2"
    assert read_file(store, bela) == b"1"
    with pytest.raises(NotFound):
        store.open(gone)


@pytest.mark.parametrize(
    "key", ["", "x", "../../etc/passwd", f"{ADA}/ab/../../x", f"{ADA}/00/{'0' * 64}", f"/{ADA}/00/{'0' * 64}.txt"]
)
def test_a_name_that_the_store_did_not_give_out_is_refused(store: FileStore, key: str) -> None:
    for act in (store.open, store.exists, store.delete, store.address):
        with pytest.raises(InvalidInput):
            act(key)


@pytest.mark.parametrize("ending", ["", "TXT", "a/b", "../x", "tar.gz"])
def test_an_ending_that_is_none_is_refused(store: FileStore, ending: str) -> None:
    with pytest.raises(InvalidInput):
        store.put(ADA, b"", ending=ending)


def test_the_address_leads_to_the_file(store: FileStore) -> None:
    key = store.put(ADA, b"one", ending="txt")
    address = store.address(key)
    assert address.endswith(f"/{key}")
    assert address.startswith(("file:///", "s3://twin-"))
    if address.startswith("file:"):
        assert Path(address.removeprefix("file://")).read_bytes() == b"one"


def test_a_bucket_that_keeps_versions_keeps_none_of_a_deleted_file(bucket: S3Files) -> None:
    bucket._client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration={"Status": "Enabled"})
    key = bucket.put(ADA, b"one", ending="txt")
    bucket.put(ADA, b"one", ending="txt")
    assert bucket.delete(key)
    left = bucket._client.list_object_versions(Bucket=bucket.bucket)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


@pytest.mark.slow
def test_more_files_than_one_page_of_s3_are_listed(bucket: S3Files) -> None:
    for number in range(1005):
        bucket._client.put_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}{ADA}/00/{number:064x}.txt", Body=b"")
    assert len(list(bucket.list(ADA))) == 1005


def test_an_altered_file_is_an_error_and_not_content(tmp_path: Path) -> None:
    store = FolderFiles(tmp_path)
    key = store.put(ADA, b"one", ending="txt")
    (tmp_path / key).write_bytes(b"two")
    with pytest.raises(ValidationFailed, match="not what was stored"):
        read_file(store, key)
    store.put(ADA, b"one", ending="txt")
    assert read_file(store, key) == b"one"


def test_files_are_for_this_account_alone_and_none_lies_half_written(tmp_path: Path) -> None:
    store = FolderFiles(tmp_path / "files")
    place = tmp_path / "files" / store.put(ADA, b"one", ending="txt")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert [found.name for found in place.parent.iterdir()] == [place.name]


@given(st.binary(max_size=100), st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True))
def test_any_content_has_a_place(tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str) -> None:
    store = FolderFiles(tmp_path_factory.getbasetemp() / "any")
    assert read_file(store, store.put(ADA, content, ending=ending)) == content


def test_the_settings_say_which_store_it_is(tmp_path: Path) -> None:
    assert file_store(Settings(home=tmp_path, _env_file=None)).address(f"{ADA}/00/{'0' * 64}.txt").startswith("file:")
    s3 = file_store(Settings(home=tmp_path, s3_url="s3://b/p/", _env_file=None))
    assert s3.address(f"{ADA}/00/{'0' * 64}.txt") == f"s3://b/p/{ADA}/00/{'0' * 64}.txt"
    assert S3Files("s3://b").address(f"{ADA}/00/{'0' * 64}.txt") == f"s3://b/{ADA}/00/{'0' * 64}.txt"


@pytest.mark.parametrize("url", ["http://bucket", "s3://", "s3://key:secret@bucket", "s3://bucket?access_key=1"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidInput, match="s3://bucket/prefix"):
        S3Files(url)


def test_a_bucket_that_is_not_there_is_a_missing_service(s3_endpoint: str, keys_of_aws: None) -> None:
    store = S3Files(f"s3://nowhere/?endpoint={s3_endpoint}")
    for act in (lambda: store.put(ADA, b"", ending="txt"), lambda: list(store.list(ADA))):
        with pytest.raises(ServiceUnavailable, match="NoSuchBucket"):
            act()


def test_an_s3_server_that_is_down_is_a_missing_service(keys_of_aws: None) -> None:
    store = S3Files(f"s3://bucket/?endpoint=http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        store.put(ADA, b"", ending="txt")
