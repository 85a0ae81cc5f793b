"""The chunk stage: cleaned documents become chunks and postings (the lexical half of snapshot 2).

A chunk is a passage with offsets into the cleaned text, carries its title and heading path (or path and symbol), and
fits the embedding model's window by that model's own tokenizer. Vectors are the next stage's (`embed.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from uuid import UUID

from twin_core import identity
from twin_core.errors import ValidationFailed
from twin_core.features.clean import Progress, batched
from twin_core.features.outline import outline
from twin_core.features.packing import Packer
from twin_core.models.embedding_model import embedding_model
from twin_core.models.tokenizer import TokenCounter, token_counter
from twin_core.records import Author, Category, Chunk, CleanedDocument, StageReport
from twin_core.settings import Settings
from twin_core.store import chunks as store
from twin_core.store.database import Database
from twin_core.text.lexical import indexed_text, search_config

CHUNKER_VERSION = "1"
"""Raise it when the same text is cut, or indexed, in another way: every document is then chunked again, and only
passages that came out different are embedded again."""
BATCH_DOCUMENTS = 100
CONTEXT_SHARE = 0.25
"""Most of the window that titles and headings may take from the passage itself."""
BETWEEN = " > "
_PATH_PARTS = 5


def chunk_author(
    database: Database, author: Author, *, settings: Settings, progress: Progress | None = None
) -> StageReport:
    """Chunk every live document whose cleaned text, title, category or language changed; drop what is gone.

    Holds the author's lock. Each batch of documents is one transaction: the chunks of superseded revisions go with
    the arrival of the new ones, and a chunk that is in both keeps its row and its vector. Raises ValidationFailed,
    with nothing of the batch published, when a chunk is not what it must be.
    """
    started = time.perf_counter()
    model = embedding_model(settings)
    version = f"{CHUNKER_VERSION}/{model.tokenizer_id}"
    done = rows = 0
    with database.author_lock(author.id):
        with database.transaction() as conn:
            deleted = store.drop_gone(conn, author.id)
            store.carry_over(conn, author.id, version)
            pending = store.pending_chunking(conn, author.id, version)
        for batch in batched(pending, BATCH_DOCUMENTS):
            with database.transaction() as conn:
                documents = store.read_cleaned(conn, [one.revision_id for one in batch])
            made = chunk_documents(documents, token_counter(settings))
            validate(documents, made, window=model.window)
            with database.transaction() as conn:
                rows += store.publish_chunks(
                    conn,
                    author.id,
                    batch,
                    [_indexed(chunk, document) for document in documents for chunk in made[document.document_id]],
                    version,
                )
            done += len(batch)
            if progress is not None:
                progress(done, len(pending))
        with database.transaction() as conn:
            chunked = store.count_chunked(conn, author.id)
    return StageReport(
        done=done,
        unchanged=chunked - done,
        deleted=deleted,
        rows=rows,
        seconds=time.perf_counter() - started,
    )


def chunk_documents(documents: Sequence[CleanedDocument], counter: TokenCounter) -> dict[UUID, list[Chunk]]:
    """The chunks of each document, in order, by document id."""
    return {document.document_id: list(chunk_document(document, counter)) for document in documents}


def chunk_document(document: CleanedDocument, counter: TokenCounter) -> Iterator[Chunk]:
    """The passages of one document, in order. Together they hold every character of its text that is not blank."""
    seen: dict[str, int] = {}
    for ordinal, (start, end, context, tokens) in enumerate(_passages(document, counter)):
        passage = document.text[start:end]
        text_hash = identity.sha256(passage)
        occurrence = seen.get(text_hash, 0)
        seen[text_hash] = occurrence + 1
        yield Chunk(
            id=identity.chunk_id(document.document_id, text_hash, occurrence),
            document_id=document.document_id,
            revision_id=document.revision_id,
            author_id=document.author_id,
            category=document.category,
            ordinal=ordinal,
            text=passage,
            context=context,
            start=start,
            end=end,
            tokens=tokens,
            embed_hash=identity.sha256(embedded_text(context, passage)),
        )


def embedded_text(context: str, text: str) -> str:
    """What is embedded of a passage: its context on a line of its own, then its text."""
    return f"{context}\n{text}" if context else text


def validate(documents: Sequence[CleanedDocument], made: dict[UUID, list[Chunk]], *, window: int) -> None:
    """Raise ValidationFailed unless these chunks may be published: no empty text, no id twice, offsets that hold,
    ordinals without gaps, nothing beyond the window, no document without chunks.
    """
    ids: set[UUID] = set()
    for document in documents:
        chunks = made[document.document_id]
        problem = None if chunks else "no chunk came of it"
        for ordinal, chunk in enumerate(chunks):
            if not chunk.text.strip():
                problem = "an empty passage"
            elif chunk.text != document.text[chunk.start : chunk.end]:
                problem = "offsets that do not give the passage"
            elif chunk.tokens > window:
                problem = f"a passage of {chunk.tokens} tokens, beyond the model's window of {window}"
            elif chunk.ordinal != ordinal:
                problem = "ordinals with a gap"
            elif chunk.id in ids:
                problem = "the same id twice"
            ids.add(chunk.id)
        if problem:
            raise ValidationFailed(
                f"Chunking document {document.document_id} gave {problem}; nothing of its batch was published. "
                "This is a defect of the program: please report it with the document's kind and length."
            )


Excess = Callable[[str, str], int]
"""(context, text) -> tokens beyond the window."""


def _passages(document: CleanedDocument, counter: TokenCounter) -> list[tuple[int, int, str, int]]:
    """(start, end, context, tokens) of each passage.

    Tokens are counted once over the whole text; that is right wherever words stand by themselves. Where a piece reads
    otherwise than it did within the whole, all is cut again and every passage counted as it is made.
    """
    text, window = document.text, counter.model.window
    packer = Packer(text, outline(text, document.category, document.language), counter.starts(text))
    head = _head(document)

    def counted(context: str, passage: str) -> int:
        return counter.count([embedded_text(context, passage)])[0] - window

    for excess in (lambda _context, _passage: 0, counted):
        cut = list(_walk(packer, head, counter, excess))
        tokens = counter.count([embedded_text(context, text[start:end]) for start, end, context in cut])
        if max(tokens, default=0) <= window:
            break
    return [(start, end, context, number) for (start, end, context), number in zip(cut, tokens, strict=True)]


def _walk(
    packer: Packer, head: tuple[str, ...], counter: TokenCounter, excess: Excess
) -> Iterator[tuple[int, int, str]]:
    text = packer.text
    at = 0
    while (at := _skip_blank(text, at)) < len(text):
        end, context = _cut(packer, head, at, counter, excess)
        if not text[at:end].strip():  # nothing but indentation fitted
            at += len(text[at:]) - len(text[at:].lstrip())
            end, context = _cut(packer, head, at, counter, excess)
        yield at, end, context
        at = end


def _cut(packer: Packer, head: tuple[str, ...], at: int, counter: TokenCounter, excess: Excess) -> tuple[int, str]:
    """(end, context) of the passage at `at`, shrunk until nothing is in excess."""
    window = counter.model.window
    room = max(int(window * CONTEXT_SHARE) - counter.specials, 1)
    # What a passage is in is known for certain when its end is. It can only get shorter by that.
    context, taken = _context((*head, *packer.path(at, at + 1)), room, counter)
    budget = window - taken - 1
    end = packer.next(at, max(budget, 1))
    while True:
        end = max(at + len(packer.text[at:end].rstrip()), at + 1)
        context, _ = _context((*head, *packer.path(at, end)), room, counter)
        beyond = excess(context, packer.text[at:end])
        if beyond <= 0 or end - at == 1:
            return end, context
        budget -= beyond
        # One token that becomes many once it is cut: a tokenizer without words goes by halves.
        end = packer.next(at, budget) if budget > 0 else at + (end - at) // 2


def _head(document: CleanedDocument) -> tuple[str, ...]:
    """What stands before the path: the title; for code the file; nothing where the title is the text's own opening."""
    if document.category == Category.CODE:
        stated = document.metadata.get("path")
        path = stated if isinstance(stated, str) and stated else document.title
        return ("/".join(PurePosixPath(path).parts[-_PATH_PARTS:]),)
    if document.category == Category.POST and document.text.lstrip().startswith(document.title.rstrip("…")):
        return ()
    return (document.title,)


@lru_cache(maxsize=1024)
def _context(path: tuple[str, ...], room: int, counter: TokenCounter) -> tuple[str, int]:
    """The path as one line of at most `room` tokens, and the tokens that an input of it alone has.

    Steps in the middle go first, then the end of what is left.
    """
    steps = [step for index, step in enumerate(path) if step and (index == 0 or step.casefold() != path[0].casefold())]
    while len(steps) > 2 and _too_long(BETWEEN.join(steps), room, counter):
        del steps[len(steps) // 2]
    context = BETWEEN.join(steps)
    while context and _too_long(context, room, counter):
        context = context[: len(context) * 4 // 5].rstrip()
    return context, counter.count([context])[0]


def _too_long(context: str, room: int, counter: TokenCounter) -> bool:
    return len(context) > room * 20 or len(counter.starts(context)) > room


def _skip_blank(text: str, at: int) -> int:
    """The start of the next line that is not blank, with its indentation; in mid-line, the next character."""
    end = len(text)
    first = at
    while first < end and text[first].isspace():
        first += 1
    line = text.rfind("\n", at, first) + 1
    return first if first == end or not line else line


def _indexed(chunk: Chunk, document: CleanedDocument) -> store.Indexed:
    return store.Indexed(
        chunk=chunk,
        search_config=search_config(document.language, document.category),
        indexed=indexed_text(chunk.context, chunk.text, chunk.category),
    )
