"""The author's own papers: PDF and DOCX.

PDF by pypdf: pure Python, no dependencies, kept up, and it limits what a stream may unpack to; pdfminer.six reads
columns a little better and needs a cryptography library. DOCX by mammoth, which keeps headings, lists and tables where
python-docx gives bare paragraphs. What goes into the warehouse is the text: the file itself stays with the author.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from twin_core.collect.archive import Archive
from twin_core.collect.formats import Recognised
from twin_core.collect.pieces import html_piece, text_piece
from twin_core.collect.reading import EmptyText
from twin_core.collect.registry import Options
from twin_core.collect.stated import moment, short
from twin_core.errors import InvalidInput
from twin_core.records import Category, Failed, Item, Skipped
from twin_core.settings import Settings

_FILES = r"(?:.*/)?[^/~][^/]*\.(?:pdf|docx)"
_MAGIC = (b"%PDF", b"PK\x03\x04")
_UNPACKED = 8
"""A DOCX is a zip: how many times its size limit it may unpack to."""
_REFERENCES = re.compile(r"^(?:\d+\.?\s+)?(?:References|Bibliography|Literatur(?:verzeichnis)?)\s*$", re.IGNORECASE)
_PAGE_NUMBER = re.compile(r"^\W*(?:page\s+)?\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?\W*$", re.IGNORECASE)


class PapersExport:
    """PDF and DOCX files."""

    platform = "papers"
    looks_for = "PDF or DOCX files of the author's own"
    whole = True

    def recognises(self, archive: Archive, options: Options) -> Recognised | None:  # noqa: ARG002 - the protocol's
        """By what the files begin with."""
        if not any(archive.head(name, 8).startswith(_MAGIC) for name in archive.matching(_FILES)):
            return None
        return Recognised(account=archive.location("").rstrip("/!"), kinds=frozenset({"paper"}))

    def items(self, archive: Archive, options: Options, settings: Settings) -> Iterator[Item]:  # noqa: ARG002
        """One item per file."""
        for name in archive.matching(_FILES):
            native_id, location = f"paper:{name}", archive.location(name)
            try:
                read = _pdf if name.lower().endswith(".pdf") else _docx
                yield read(archive.read(name), name, native_id, location, archive.limit)
            except (InvalidInput, OSError) as error:
                yield Failed(native_id=native_id, location=location, reason=str(error))


FORMAT = PapersExport()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What a PDF says."""

    title: str | None
    """As the file states it, else how its text begins."""
    text: str
    written_at: datetime | None
    pages: int


def read_pdf(body: bytes, *, limit: int, most_pages: int | None = None) -> Paper:
    """The text of a PDF, of its first pages where `most_pages` says so.

    Raises EmptyText for a scan, InvalidInput for what is encrypted, broken or longer than `limit` characters.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it warns of, it mends; the rest is an error here
    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidInput("it is encrypted: save it without a password")
        pages = [page.extract_text() for page in islice(reader.pages, most_pages)]
        title, date = _stated(reader.metadata)
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError,
            NotImplementedError, AssertionError, zipfile.BadZipFile) as error:  # fmt: skip
        raise InvalidInput(f"it is a broken PDF ({type(error).__name__})") from error
    if sum(len(page) for page in pages) > limit:
        raise InvalidInput(f"its text is larger than {limit:,} bytes")
    text = flowing(pages)
    if not text:
        raise EmptyText("no text in it: a scan needs to be read by an OCR program first")
    title = title or short(text.split("\n", 1)[0][:200])
    return Paper(title=title, text=text, written_at=date, pages=len(pages))


def _pdf(body: bytes, name: str, native_id: str, location: str, limit: int) -> Item:
    try:
        paper = read_pdf(body, limit=limit)
    except EmptyText as error:
        return Skipped(native_id=native_id, location=location, reason=str(error))
    return text_piece(
        native_id,
        location,
        paper.text,
        category=Category.ARTICLE,
        title=paper.title or PurePosixPath(name).stem,
        written_at=paper.written_at,
        metadata={"pages": paper.pages},
    )


def _stated(metadata: Any) -> tuple[str | None, datetime | None]:
    """Title and date of a PDF; programs put file names and nonsense there, so each may be missing."""
    if metadata is None:
        return None, None
    title = short(metadata.get("/Title"))
    if title and (title.lower().endswith((".doc", ".docx", ".tex", ".dvi", ".pdf")) or title.lower() == "untitled"):
        title = None
    try:
        date = metadata.creation_date
    except (ValueError, TypeError):
        date = None
    if date is not None:
        date = (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    return title, date


def flowing(pages: list[str]) -> str:
    """Pages of lines as paragraphs: running heads, page numbers and the list of references go, hyphens close."""
    lines_of = [[line.strip() for line in page.split("\n")] for page in pages]
    ends = Counter(
        re.sub(r"\d+", "#", line) for lines in lines_of for line in {*lines[:2], *lines[-2:]} if line and len(pages) > 2
    )
    kept: list[str] = []
    for lines in lines_of:
        for at, line in enumerate(lines):
            edge = at < 2 or at >= len(lines) - 2
            running = edge and ends[re.sub(r"\d+", "#", line)] > len(pages) / 2
            if _REFERENCES.match(line):
                return _paragraphs(kept)
            if not running and not _PAGE_NUMBER.match(line):
                kept.append(line)
    return _paragraphs(kept)


def _paragraphs(lines: list[str]) -> str:
    """A line that is clearly shorter than the others and ends a sentence ends a paragraph too."""
    widths = sorted(len(line) for line in lines if line)
    usual = widths[len(widths) * 3 // 4] if widths else 0
    out: list[str] = []
    ended = True
    for line in lines:
        if not line:
            ended = True
            continue
        if ended:
            out.append(line)
        elif out[-1].endswith("-") and line[:1].islower():
            out[-1] = out[-1][:-1] + line
        else:
            out[-1] += f" {line}"
        ended = len(line) < usual * 0.75 and (line.endswith((".", "!", "?", ":", '"', "”")) or len(line) < usual * 0.5)
    return "\n\n".join(out)


def _docx(body: bytes, name: str, native_id: str, location: str, limit: int) -> Item:
    import mammoth

    try:
        with zipfile.ZipFile(io.BytesIO(body)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _UNPACKED * limit:
                return Failed(native_id=native_id, location=location, reason="it unpacks to far more than a document")
            core = parts.read("docProps/core.xml") if "docProps/core.xml" in parts.namelist() else b""
        html = mammoth.convert_to_html(io.BytesIO(body), convert_image=mammoth.images.img_element(_no_image)).value
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError, NotImplementedError,
            RecursionError, EOFError, SyntaxError) as error:  # fmt: skip
        return Failed(native_id=native_id, location=location, reason=f"it is a broken DOCX ({type(error).__name__})")
    title, date = _core(core)
    return html_piece(
        native_id,
        location,
        html,
        category=Category.ARTICLE,
        title=title or PurePosixPath(name).stem.replace("_", " ").replace("-", " "),
        written_at=date,
    )


def _no_image(image: object) -> dict[str, str]:  # noqa: ARG001 - mammoth asks for each
    return {"src": ""}


def _core(xml: bytes) -> tuple[str | None, datetime | None]:
    """Title and date from a DOCX's properties."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    root = etree.fromstring(xml, parser) if xml else None
    if root is None:
        return None, None
    found = {etree.QName(element).localname: element.text for element in root.iter(etree.Element)}
    return short(found.get("title")), moment(found.get("created") or found.get("modified"))
