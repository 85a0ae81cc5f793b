"""Files: datasets, adapters and reports under content-addressed keys, in a local folder or in S3.

A key is made from the author and the content, so writing a file twice writes it once, nothing is ever overwritten by
something else, and a file that was altered is noticed when it is read. A folder serves one machine; `TWIN_S3_URL`
puts the same keys into a bucket, for any server that speaks S3. Which files there are, and on which documents they
rest, is in the table `training.files` (`filed.py`), because forgetting asks by document and a bucket cannot answer.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from twin_core.errors import InvalidInput, NotFound, ServiceUnavailable, ValidationFailed
from twin_core.settings import Settings

_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{2}/(?P<digest>[0-9a-f]{64})\.[a-z0-9]{1,10}")
_ENDING = re.compile(r"[a-z0-9]{1,10}")


class FileStore(Protocol):
    """A place for files. Every method takes keys that `put` returned, and raises InvalidInput for anything else."""

    def put(self, author_id: UUID, content: bytes, *, ending: str) -> str:
        """Store the content, whole or not at all, and return its key. `ending` is a file's: "parquet", "html"."""
        ...

    def open(self, key: str) -> IO[bytes]:
        """A file to read and close. Raises NotFound."""
        ...

    def exists(self, key: str) -> bool:
        """True when a file is there."""
        ...

    def list(self, author_id: UUID) -> Iterator[str]:
        """The author's keys, in the order of their names."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a file. False when there was none."""
        ...

    def address(self, key: str) -> str:
        """Where a person finds the file: a `file:` or `s3:` URL."""
        ...


def file_store(settings: Settings) -> FileStore:
    """The file store of these settings. Touches nothing until it is used."""
    if settings.s3_url:
        return S3Files(settings.s3_url)
    return FolderFiles(settings.files_folder.expanduser().resolve())


def read_file(store: FileStore, key: str) -> bytes:
    """The content of a file. Raises NotFound, and ValidationFailed when it is not what was stored under this key."""
    with store.open(key) as stream:
        content = stream.read()
    if hashlib.sha256(content).hexdigest() != _digest(key):
        raise ValidationFailed(
            f"{store.address(key)} is not what was stored there. Delete it and make it again, or bring it back from a backup."
        )
    return content


def key_of(author_id: UUID, content: bytes, *, ending: str) -> str:
    """The key under which this content is stored."""
    if not _ENDING.fullmatch(ending):
        raise InvalidInput(f"A file's ending is up to ten small letters and digits, such as `parquet`, not {ending!r}.")
    digest = hashlib.sha256(content).hexdigest()
    return f"{author_id}/{digest[:2]}/{digest}.{ending}"


def _digest(key: str) -> str:
    found = _KEY.fullmatch(key)
    if found is None:
        raise InvalidInput(f"There is no file of the name {key!r}: names are given out by the store.")
    return found["digest"]


class FolderFiles:
    """Files in a folder, readable by this account alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, author_id: UUID, content: bytes, *, ending: str) -> str:
        """Store the content under its key. Written beside its place and moved there: readers see all of it or nothing."""
        key = key_of(author_id, content, ending=ending)
        place = self.folder / key
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as stream:
            beside = Path(stream.name)
            try:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
                beside.replace(place)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
        return key

    def open(self, key: str) -> IO[bytes]:
        """Open the file."""
        try:
            return self._place(key).open("rb")
        except FileNotFoundError as error:
            raise _missing(key) from error

    def exists(self, key: str) -> bool:
        """Look whether the file is there."""
        return self._place(key).is_file()

    def list(self, author_id: UUID) -> Iterator[str]:
        """Walk the author's folder."""
        for place in sorted((self.folder / str(author_id)).glob("*/*")):
            key = place.relative_to(self.folder).as_posix()
            if _KEY.fullmatch(key):
                yield key

    def delete(self, key: str) -> bool:
        """Remove the file, and its folder when that is empty."""
        place = self._place(key)
        try:
            place.unlink()
        except FileNotFoundError:
            return False
        if not any(place.parent.iterdir()):
            place.parent.rmdir()
        return True

    def address(self, key: str) -> str:
        """The file's URL on this machine."""
        return self._place(key).as_uri()

    def _place(self, key: str) -> Path:
        _digest(key)
        return self.folder / key


class S3Files:
    """Files in a bucket: `s3://bucket/prefix?endpoint=https://…&region=…`. Keys come from AWS's own places.

    That is the environment (`AWS_ACCESS_KEY_ID` …), the files under `~/.aws`, or the machine's role; never this URL,
    because URLs are printed. The bucket must be there.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if parts.scheme != "s3" or not parts.hostname or set(options) - {"endpoint", "region"} or "@" in parts.netloc:
            raise InvalidInput(
                "TWIN_S3_URL is s3://bucket/prefix, with ?endpoint=https://… for a server that is not Amazon's and "
                "&region=… where it matters."
            )
        self.bucket = parts.netloc
        self.prefix = f"{parts.path.strip('/')}/".lstrip("/")
        self._options = options

    def put(self, author_id: UUID, content: bytes, *, ending: str) -> str:
        """Store the content under its key: one request, which the server carries out whole or not at all."""
        key = key_of(author_id, content, ending=ending)
        with self._answers() as client:
            client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)
        return key

    def open(self, key: str) -> IO[bytes]:
        """Fetch the file."""
        _digest(key)
        with self._answers(key) as client:
            return BytesIO(client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read())

    def exists(self, key: str) -> bool:
        """Ask for the file's size."""
        _digest(key)
        try:
            with self._answers(key) as client:
                client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except NotFound:
            return False
        return True

    def list(self, author_id: UUID) -> Iterator[str]:
        """Page through the author's keys."""
        with self._answers() as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}{author_id}/"
            )
            keys = [found["Key"].removeprefix(self.prefix) for page in pages for found in page.get("Contents", ())]
        yield from sorted(key for key in keys if _KEY.fullmatch(key))

    def delete(self, key: str) -> bool:
        """Remove the file, every version of it: in a bucket that keeps versions, a plain deletion only hides."""
        there = self.exists(key)
        with self._answers() as client:
            name = self.prefix + key
            pages = client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=name)
            versions = [
                {"Key": name, "VersionId": one["VersionId"]}
                for page in pages
                for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                if one["Key"] == name
            ]
            for version in versions:
                client.delete_object(Bucket=self.bucket, **version)
        return there

    def address(self, key: str) -> str:
        """The file's s3 URL."""
        _digest(key)
        return f"s3://{self.bucket}/{self.prefix}{key}"

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self._options.get("endpoint"),
            region_name=self._options.get("region", "us-east-1" if "endpoint" in self._options else None),
            config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 3}),
        )

    @contextmanager
    def _answers(self, key: str = "") -> Iterator[Any]:
        """The client; what goes wrong is said in our words."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise InvalidInput("TWIN_S3_URL is set, which needs boto3: pip install 'llm-twin[s3]'") from error
        try:
            yield self._client
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if key and code in {"404", "NoSuchKey"}:
                raise _missing(key) from error
            raise ServiceUnavailable(
                f"The bucket {self.bucket} refuses: {code}. It must exist, and the keys that AWS's client finds must allow "
                f"to list, read, write and delete in it."
            ) from error
        except BotoCoreError as error:
            raise ServiceUnavailable(
                f"S3 does not answer ({error}). Check TWIN_S3_URL and the keys that AWS's client finds."
            ) from error


def _missing(key: str) -> NotFound:
    return NotFound(f"The file {key} is not there. Files go when a document in them is forgotten; make it again.")
