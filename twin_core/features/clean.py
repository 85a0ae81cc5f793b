"""The clean stage: raw revisions become cleaned documents (snapshot 1), one handler per category.

Reads the warehouse, writes `features.cleaned_documents`. What cannot be cleaned is recorded with its reason and not
tried again until its text or CLEANER_VERSION changes. Cutting into passages is the next stage's (`chunk.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from twin_core import identity
from twin_core.errors import InvalidInput
from twin_core.features.languages import natural_language, programming_language
from twin_core.records import Author, Category, CleanedDocument, RawRevision, StageReport
from twin_core.settings import Settings
from twin_core.store import cleaned as store
from twin_core.store.database import Database
from twin_core.text import fingerprint, third_party
from twin_core.text.decode import decode, html_charset
from twin_core.warehouse.protocol import Warehouse

Progress = Callable[[int, int], None]

CLEANER_VERSION = "2"
"""Raise it when the same body gives another text: every document is then cleaned again, and only what came out
different is chunked and embedded again."""
BATCH_DOCUMENTS = 100
_TITLE_LENGTH = 120
_MISSING = "the warehouse does not have this revision; `twin sync` fetches it again"
# What libraries raise on input that nobody foresaw. A bug of ours would be one of these too: it is then recorded
# with the name of the error, for this document, and the rest goes on.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, AssertionError)
T = TypeVar("T")

THIRD_PARTY = "third_party"
"""Key of a cleaned document's metadata: `[[start, end, kind], ...]`, the parts of its text that are other people's
words, as offsets in characters. Kinds: `quote`, `reply`, `forward`. Absent where there are none."""

Handled = tuple[str, str, list[third_party.Span]]
"""Title, text, and the parts of it that are other people's words."""


def clean_author(
    database: Database, warehouse: Warehouse, author: Author, *, settings: Settings, progress: Progress | None = None
) -> StageReport:
    """Clean every live document of the author whose latest revision this version has not seen.

    Holds the author's lock. Each batch of documents is one transaction, so that a run that is killed goes on from
    there. `failed` counts also the documents that failed in earlier runs and have not changed since.
    """
    del settings  # cleaning has no knobs; the signature is that of every stage
    started = time.perf_counter()
    with database.author_lock(author.id):
        with database.transaction() as conn:
            pending = store.pending_cleaning(conn, author.id, CLEANER_VERSION)
            live = store.count_live(conn, author.id)
        missing: dict[UUID, str] = {}
        done = 0
        for batch in batched(pending, BATCH_DOCUMENTS):
            done += _clean_batch(database, warehouse, author, batch, missing)
            if progress is not None:
                progress(done + len(missing), len(pending))
        with database.transaction() as conn:
            failed = store.known_failures(conn, author.id, CLEANER_VERSION) | missing
            if done or store.cluster_state(conn, author.id)[1]:
                signed = store.signatures(conn, author.id)
                found = fingerprint.clusters([(one.document_id, one.signature) for one in signed])
                store.set_clusters(conn, author.id, {one.revision_id: found[one.document_id] for one in signed})
    return StageReport(
        done=done,
        unchanged=live - done - len(failed),
        failed=len(failed),
        rows=done,
        seconds=time.perf_counter() - started,
        failures={str(document): reason for document, reason in failed.items()},
    )


def clean_revision(raw: RawRevision, language: str) -> CleanedDocument:
    """One revision in its normal form. `language` is the author's, for texts too short to tell.

    Raises InvalidInput when the body is not text, has broken front matter, or holds no text at all.
    """
    title, text, others = _HANDLERS[raw.category](raw)
    if not text.strip():
        raise InvalidInput("nothing is left after cleaning: the document has no text of its own")
    if raw.category == Category.CODE:
        language = programming_language(raw.location, raw.metadata)
    else:
        language = natural_language(text, language)
    metadata = {name: value for name, value in raw.metadata.items() if name != THIRD_PARTY}
    if others:
        metadata[THIRD_PARTY] = [list(span) for span in others]
    return CleanedDocument(
        document_id=raw.document_id,
        revision_id=raw.id,
        author_id=raw.author_id,
        category=raw.category,
        title=_one_line(title) or _one_line(raw.native_id) or "Untitled",
        text=text,
        text_hash=identity.sha256(text),
        language=language,
        words=len(fingerprint.words(text)),
        location=raw.location,
        written_at=raw.written_at,
        metadata=metadata,
    )


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in slices of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _clean_batch(
    database: Database,
    warehouse: Warehouse,
    author: Author,
    batch: Sequence[store.Pending],
    missing: dict[UUID, str],
) -> int:
    by_revision = {one.revision_id: one for one in batch}
    seen: set[UUID] = set()
    good: list[store.Cleaned] = []
    bad: list[tuple[UUID, str, str]] = []
    for raw in warehouse.get(list(by_revision)):
        one = by_revision[raw.id]
        seen.add(raw.id)
        try:
            document = clean_revision(raw, author.language)
            signature = fingerprint.signature(document.text)
            good.append(store.Cleaned(document=document, source_id=one.source_id, signature=signature))
        except InvalidInput as error:
            bad.append((one.document_id, str(one.revision_id), str(error)))
        except _UNREADABLE as error:
            reason = (
                f"the cleaner could not read it ({type(error).__name__})"  # the error's text may quote the document
            )
            bad.append((one.document_id, str(one.revision_id), reason))
    missing.update((one.document_id, _MISSING) for one in batch if one.revision_id not in seen)
    with database.transaction() as conn:
        store.publish_cleaned(conn, good, CLEANER_VERSION)
        store.record_failures(conn, author.id, store.CLEAN, CLEANER_VERSION, bad)
    return len(good)


def _article(raw: RawRevision) -> Handled:
    from twin_core.text.markdown import clean_markdown, split_front_matter

    text = _decoded(raw)
    kind = _kind(raw)
    if kind == "fragment":
        body = _fragment(text)
        return raw.title or _name(raw), body, third_party.in_markdown(body)
    if kind == "html":
        from twin_core.text.html import main_text

        page = main_text(text, raw.location if raw.location.startswith("http") else None)
        body = clean_markdown(page.markdown)
        return raw.title or page.title or _heading(body), body, third_party.in_page(text, body)
    if kind == "markdown":
        _, body = split_front_matter(text)
        body = clean_markdown(body)
        return raw.title or _heading(body) or _name(raw), body, third_party.in_markdown(body)
    body = identity.normalise(text)
    return raw.title or _name(raw), body, third_party.in_mail(body)


def _post(raw: RawRevision) -> Handled:
    from twin_core.text.markdown import clean_markdown, split_front_matter

    text = _decoded(raw)
    kind = _kind(raw)
    if kind == "fragment":
        body = _fragment(text)
        others = third_party.in_markdown(body)
    elif kind == "html":
        from twin_core.text.html import plain_text

        body = identity.normalise(plain_text(text))
        others = third_party.in_page(text, body)
    elif kind == "markdown":
        _, body = split_front_matter(text)
        body = clean_markdown(body)
        others = third_party.in_markdown(body)
    else:
        body = identity.normalise(text)
        others = third_party.in_mail(body)
    return raw.title or opening(body), body, others


def _fragment(text: str) -> str:
    from twin_core.text.html import fragment_markdown

    return fragment_markdown(text)


def _code(raw: RawRevision) -> Handled:
    return raw.title or raw.native_id, _decoded(raw), []


_HANDLERS: dict[Category, Callable[[RawRevision], Handled]] = {
    Category.ARTICLE: _article,
    Category.POST: _post,
    Category.CODE: _code,
}


def opening(text: str) -> str:
    """The first words of a text, for a post that has no title."""
    line = next((line.strip() for line in text.split("\n") if line.strip()), "")
    if len(line) <= _TITLE_LENGTH:
        return line
    return line[:_TITLE_LENGTH].rsplit(" ", 1)[0].rstrip(",;:–—-") + "…"


def _decoded(raw: RawRevision) -> str:
    stated = raw.metadata.get("charset")
    declared = stated if isinstance(stated, str) else None
    return decode(raw.body, declared or (html_charset(raw.body) if _kind(raw) in {"html", "fragment"} else None))


def _kind(raw: RawRevision) -> str:
    from twin_core.text.html import is_fragment

    if is_fragment(raw.media_type):
        return "fragment"
    media_type = raw.media_type.split(";", 1)[0].strip().lower()
    if "html" in media_type:
        return "html"
    return "markdown" if media_type in {"text/markdown", "text/x-markdown"} else "plain"


def _heading(markdown: str) -> str:
    for line in markdown.split("\n"):
        if line.startswith("# "):
            return line[2:].strip().rstrip("#").strip()
    return ""


def _name(raw: RawRevision) -> str:
    return raw.location.rstrip("/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _one_line(title: str) -> str:
    return " ".join(title.split())[:500]
