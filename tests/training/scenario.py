"""Two authors: the demo's, and whoever wrote this project's documentation. As frames, and as dataset versions in a database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
from sqlalchemy import text

from tests.retrieval.scenario import Given, fill
from twin_core import identity
from twin_core.records import QUESTION, Author, Category, Example, ExampleKind, Split
from twin_core.store import datasets
from twin_core.store.authors import author_by_slug
from twin_core.store.database import Database
from twin_core.training.config import TrainingConfig, load_config

ROOT = Path(__file__).parents[2]
MESSAGE = pl.Struct({"role": pl.String, "content": pl.String})
SCHEMA = {
    "id": pl.String,
    "document_id": pl.String,
    "category": pl.String,
    "origin": pl.String,
    "split": pl.String,
    "words": pl.Int32,
    "prompt": pl.List(MESSAGE),
}


def passages(folder: str, *, words: int = 60) -> list[tuple[str, str]]:
    """(document, passage) of every Markdown file: whole paragraphs of prose, some of them together."""
    found = []
    for path in sorted((ROOT / folder).glob("*.md")):
        prose = re.sub(r"^---\n.*?\n---\n|```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
        held: list[str] = []
        for paragraph in re.split(r"\n\s*\n", prose):
            if paragraph.lstrip().startswith(("#", "|", "-", "!", ">")):
                continue
            held.append(" ".join(paragraph.split()))
            if sum(len(one.split()) for one in held) >= words:
                found.append((path.stem, "\n\n".join(held)))
                held = []
    return found


def instruct(pairs: Sequence[tuple[str, str]], split: str = "train") -> pl.DataFrame:
    """An instruct frame as `read_version` gives it, of the columns that training looks at."""
    rows = []
    for document, passage in pairs:
        prompt = [
            {"role": "system", "content": "You write as the author does."},
            {"role": "user", "content": f"Write a passage for {document.replace('-', ' ')}."},
        ]
        identifier = hashlib.sha256(passage.encode()).hexdigest()
        rows.append((identifier, document, "article", "rule", split, len(passage.split()), prompt, passage))
    return pl.DataFrame(rows, schema={**SCHEMA, "completion": pl.String}, orient="row")


def preference(pairs: Sequence[tuple[str, str]], rejected: Sequence[str]) -> pl.DataFrame:
    """A preference frame: the author's passage against somebody else's."""
    frame = instruct(pairs).rename({"completion": "chosen"})
    return frame.with_columns(pl.Series("rejected", [rejected[at % len(rejected)] for at in range(frame.height)]))


def quick(**changes: object) -> TrainingConfig:
    """The tiny profile, for a few steps."""
    return load_config(
        "tiny", {"max_length": 256, "batch": 4, "accumulate": 1, "save_every": 3, "log_every": 1, "rank": 8, **changes}
    )


def publish(
    database: Database,
    slug: str,
    pairs: Sequence[tuple[str, str]],
    *,
    rejected: Sequence[str] = (),
    held_out: int = 4,
    asked: Callable[[str], str] = "Write a passage for {}.".format,
    question: Callable[[str], str] | None = None,
) -> tuple[Author, str]:
    """The author with one document per name, and a dataset version of these passages; the last documents are held out.

    An author that is there already has documents of these names. `asked` gives the prompt for a document, `question` that of a
    question about one that is held out.
    """
    names = list(dict.fromkeys(document for document, _ in pairs))
    with database.transaction() as conn:
        known = conn.execute(text("SELECT FROM warehouse.authors WHERE slug = :slug"), {"slug": slug}).first()
    if known is None:
        fill(database, slug, [Given(title=name, text=name) for name in names])
    with database.transaction() as conn:
        author = author_by_slug(conn, slug)
        rows = conn.execute(
            text("SELECT title, document_id, revision_id FROM features.cleaned_documents WHERE author_id = :author"),
            {"author": author.id},
        )
        documents = {row.title: (row.document_id, row.revision_id) for row in rows}
    kind = ExampleKind.PREFERENCE if rejected else ExampleKind.INSTRUCT
    examples, members, ranks = [], [], {Split.TRAIN: 0, Split.TEST: 0}
    held = names[-held_out:]
    drafts = [(name, passage, "model" if rejected else "rule", asked(name)) for name, passage in pairs]
    about = [(name, passage, QUESTION, question(name)) for name, passage in pairs if question and name in held]
    for at, (name, passage, origin, wanted) in enumerate([*drafts, *about]):
        document, revision = documents[name]
        against = rejected[at % len(rejected)] if rejected else None
        made = Example(
            id=identity.example_id(document, kind, wanted, passage, against or ""),
            author_id=author.id,
            document_id=document,
            revision_id=revision,
            kind=kind,
            category=Category.ARTICLE,
            origin=origin,
            prompt=(("system", "You write as the author does."), ("user", wanted)),
            answer=passage,
            rejected=against,
            language="en",
            words=len(passage.split()),
            start=0,
            end=1,
            input_hash=str(at),
        )
        split = Split.TEST if name in held else Split.TRAIN
        examples.append(made)
        members.append(datasets.Member(example_id=made.id, split=split, rank=ranks[split]))
        ranks[split] += 1
    version = identity.dataset_version_id((one.example_id, one.split) for one in members)
    origins = {one.document_id: one for one in examples}
    sides = {one.example_id: one.split for one in members}
    with database.transaction() as conn:
        datasets.add_examples(conn, examples)
        datasets.publish_version(
            conn,
            version_id=version,
            author_id=author.id,
            kind=kind,
            input_hash="h",
            manifest={},
            members=members,
            origins=[
                datasets.Origin(
                    document_id=one.document_id, revision_id=one.revision_id, split=sides[one.id], passages=1
                )
                for one in origins.values()
            ],
            drops=[],
        )
    return author, version
