"""One uploaded file on its way to the disk: a multipart form read as a stream, so that memory stays small.

What comes is believed in nothing: sizes are counted, names are made harmless, and the file is not opened here.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, Any

from litestar import Request
from litestar.exceptions import ClientException, HTTPException
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

_WRITE_BYTES = 1 << 20
_FIELD_BYTES = 1_000
_FIELDS = 30
_FORM_BYTES = 64 * 1024
"""What a form may have around its file."""
_LONGEST_NAME = 120
_STRANGE = re.compile(r"[^\w .()+,&-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that has been received, and the fields beside it."""

    path: Path
    size: int
    sha256: str
    fields: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class _Receiving:
    """A form, as far as it has come."""

    folder: Path
    limit: int
    path: Path | None = None
    file: IO[bytes] | None = None
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    waiting: bytearray = field(default_factory=bytearray)
    fields: dict[str, list[str]] = field(default_factory=dict)
    text: bytearray = field(default_factory=bytearray)
    part: MultipartSegment | None = None

    def begin(self, part: MultipartSegment) -> None:
        self.part = part
        self.text = bytearray()
        if part.filename is None:
            return
        if part.name != "file" or self.path is not None:
            raise ClientException("Send one file, as the field `file`.")
        self.path = self.folder / harmless_name(part.filename)
        self.file = self.path.open("xb")

    async def take(self, data: bytearray) -> None:
        if self.file is None:
            self.text += data
            if len(self.text) > _FIELD_BYTES:
                raise ClientException(f"A field of the form is longer than {_FIELD_BYTES} bytes.")
            return
        self.size += len(data)
        if self.size > self.limit:
            raise too_large(self.limit)
        self.waiting += data
        if len(self.waiting) >= _WRITE_BYTES:
            await self.write()

    async def write(self) -> None:
        assert self.file is not None
        data, self.waiting = bytes(self.waiting), bytearray()
        await asyncio.to_thread(self._write, self.file, data)

    async def end(self) -> None:
        if self.file is not None:
            await self.write()
            self.file.close()
            self.file = None
        elif self.part is not None:
            try:
                said = self.text.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ClientException("A field of the form is no UTF-8 text.") from error
            self.fields.setdefault(self.part.name, []).append(said)
        self.part = None

    def _write(self, file: IO[bytes], data: bytes) -> None:
        file.write(data)
        self.digest.update(data)


async def receive(request: Request[Any, Any, Any], folder: Path, limit: int) -> Upload:
    """Write the form's file into the folder. Raises 400 for what is no such form, 413 for a file above the limit.

    Whatever was written when an error is raised, the caller removes with the folder.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise ClientException("Send a form: `multipart/form-data` with the field `file`.")
    if (request.content_length or 0) > limit + _FORM_BYTES:
        raise too_large(limit)
    receiving = _Receiving(folder, limit)
    try:
        with PushMultipartParser(options["boundary"], max_segment_count=_FIELDS) as parser:
            async for chunk in request.stream():
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        receiving.begin(event)
                    elif event:
                        await receiving.take(event)
                    else:
                        await receiving.end()
                if parser.closed:
                    break
    except MultipartError as error:
        raise ClientException(f"The form cannot be read: {error}.") from error
    finally:
        if receiving.file is not None:
            receiving.file.close()
    if receiving.path is None:
        raise ClientException("The form has no file. Send one, as the field `file`.")
    if receiving.size == 0:
        raise ClientException("The file is empty.")
    return Upload(
        path=receiving.path, size=receiving.size, sha256=receiving.digest.hexdigest(), fields=receiving.fields
    )


def harmless_name(given: str) -> str:
    """A name for the disk: the last part of what was given, letters, digits and plain marks, its ending kept."""
    last = PurePosixPath(given.replace("\\", "/")).name
    plain = _STRANGE.sub("_", last).strip(" .") or "upload"
    stem, dot, ending = plain.rpartition(".")
    if not dot or len(ending) > 10:
        return plain[:_LONGEST_NAME]
    return f"{stem[: _LONGEST_NAME - len(ending) - 1]}.{ending}"


def too_large(limit: int) -> HTTPException:
    """413, with the limit."""
    return HTTPException(
        f"The file is larger than {limit:,} bytes (TWIN_IMPORT_MAX_UPLOAD_BYTES). Import it on the server: `twin import`.",
        status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )
