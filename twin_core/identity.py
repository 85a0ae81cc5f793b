"""How ids and hashes are made. Pure functions; rerunning anything twice gives the same ids.

Every id that must survive a rerun is derived here and nowhere else. Random ids (keys, runs, traces) are not.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from uuid import UUID, uuid5

_AUTHORS = UUID("6f9cbb4e-0f3b-5d29-9a51-3d0c0c0f6a01")


def author_id(slug: str) -> UUID:
    """The id of the author with this slug."""
    return uuid5(_AUTHORS, slug)


def source_id(author: UUID, platform: str, locator: str) -> UUID:
    """The id of a source: the same place added twice is the same source."""
    return uuid5(author, f"source\x1f{platform}\x1f{locator}")


def document_id(source: UUID, native_id: str, occurrence: int = 0) -> UUID:
    """The id of a document, minted from the location where it was first seen and never changed after.

    `occurrence` counts the documents that were minted at this very location before: a path that is given to
    a new text, after its first text has moved elsewhere, is a new document.
    """
    suffix = f"\x1f{occurrence}" if occurrence else ""
    return uuid5(source, f"document\x1f{native_id}{suffix}")


def revision_id(document: UUID, content_hash: str) -> UUID:
    """The id of one state of a document. Going back to an earlier text goes back to its revision."""
    return uuid5(document, f"revision\x1f{content_hash}")


def chunk_id(document: UUID, text_hash: str, occurrence: int) -> UUID:
    """The id of a passage: by its text, so that a paragraph inserted before it changes nothing.

    `occurrence` counts equal passages earlier in the same document.
    """
    return uuid5(document, f"chunk\x1f{text_hash}\x1f{occurrence}")


def example_id(document: UUID, kind: str, *texts: str) -> str:
    """The id of an example: by its document and by every text that a model will see, in order.

    The revision is no part of it: a passage that an edit elsewhere in the document left alone stays the same example.
    """
    return sha256("\x1f".join((str(document), kind, *texts)))


def dataset_version_id(members: Iterable[tuple[str, str]]) -> str:
    """The id of a dataset version, from (example id, split) of its members in any order."""
    return sha256("\n".join(sorted(f"{example} {split}" for example, split in members)))


def normalise(text: str) -> str:
    """The form in which texts are compared: NFC, LF line ends, no trailing spaces, no outer blank lines."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def sha256(text: str) -> str:
    """Hex SHA-256 of the text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_hash(text: str) -> str:
    """SHA-256 of the normalised content: equal for two copies that differ only in encoding or line ends."""
    return sha256(normalise(text))
