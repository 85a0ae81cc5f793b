"""The evaluation process: answers the held-out prompts with every system, measures, stores figures and report.

`python -m twin_core.evaluation.process JOB`, where JOB is JSON of ids. A process of its own, so that models and their
memory go with it. Prompts are those of the dataset's test split, which were made as the product makes them, with passages
from which held-out documents are absent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from twin_core.champion.judging import judge
from twin_core.datasets.ethics import hostility
from twin_core.errors import InvalidInput, TwinError
from twin_core.evaluation.content import Remembering
from twin_core.evaluation.generating import System, ask
from twin_core.evaluation.habits import habits
from twin_core.evaluation.optional_axes import optional_axes
from twin_core.evaluation.prose import prose
from twin_core.evaluation.report import METRICS, html
from twin_core.evaluation.safety import Copied, TrainingText
from twin_core.evaluation.samples import file_samples
from twin_core.evaluation.scorecard import Case, Ruler, Scorecard, scorecard
from twin_core.evaluation.style import SHORTEST, enough, profile_of, scores
from twin_core.models import bases
from twin_core.models.adapter_files import adapter_folder
from twin_core.models.local_server import models_folder
from twin_core.promotion import AUTHOR, FEWEST_DOCUMENTS, TRAINING_TEXT
from twin_core.prompts.quoting import quoted
from twin_core.records import QUESTION, Author, Split
from twin_core.runtime.parent import end_with_parent
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings, settings
from twin_core.store import adapters, datasets, registry
from twin_core.store.adapters import Adapter
from twin_core.store.authors import author_by_id
from twin_core.store.database import Database
from twin_core.store.filed import file_text
from twin_core.store.files import FileStore, file_store
from twin_core.store.registry import Evaluation

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

OTHER = "other author"
REPORT = "evaluation_report"
MOST_DOCUMENTS, DRAFTS = FEWEST_DOCUMENTS + 2, 3
"""How many documents are measured at most, unless there are more than DRAFTS answers for each: several drafts about each say more of
style than one about many."""
FEWEST_WORDS = 40
"""Of a held-out passage that is a case: shorter ones say nothing about style."""
RIVAL_WORDS = 120
"""Of a passage that the rival learns, where there is no other author."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate and print the evaluation's id."""
    job = json.loads(arguments[0])
    end_with_parent(job["parent"])
    database = Database(url_for(settings()), pool_size=2)
    try:
        made = evaluate(database, UUID(job["author"]), job["adapter"], here=settings(), prompts=job["prompts"])
    except TwinError as error:
        print(error, file=sys.stderr)  # noqa: T201  the reason, for the process that asked
        return error.exit_code
    finally:
        database.close()
    print(made.id)  # noqa: T201
    return 0


def evaluate(database: Database, author_id: UUID, adapter_id: str, *, here: Settings, prompts: int) -> Evaluation:
    """Measure one adapter on this many answers; where there are fewer prompts, each is asked several times.

    Raises InvalidInput when the dataset's test split has nothing to measure on.
    """
    files, models = file_store(here), models_folder(here).absolute()
    with database.transaction() as conn:
        author = author_by_id(conn, author_id)
        adapter = adapters.adapter_by_id(conn, author_id, adapter_id)
        taught = _taught(conn, adapter)
        current = registry.serving(conn, author_id)
        champion = (
            adapters.adapter_by_id(conn, author_id, current.adapter_id)
            if current is not None and current.adapter_id != adapter.id
            else None
        )
        seen = registry.documents_learnt(conn, author_id, champion.id) if champion is not None else set()
        train = datasets.read_version(conn, taught.version_id, Split.TRAIN, taught.fraction)
        known = _learnt(conn, _taught(conn, champion)) if champion is not None else train
        test = datasets.read_version(conn, taught.version_id, Split.TEST)
        documents = list(datasets.origins_of(conn, taught.version_id))
        rival = registry.rival_of(conn, author_id, adapter.base_hash)
        other = adapters.adapter_by_id(conn, *rival) if rival is not None else None
    rows = _chosen(datasets.drafts(test), seen, prompts)
    optional = optional_axes(here, datasets.drafts(known)["completion"].to_list())
    times = -(-prompts // len(rows))
    questions = _questions(test, seen, len(rows))
    rows += questions
    cases = [_case(row) for row in rows] * times
    base = bases.find_base(here, adapter.base_model)
    notes = []
    if other is not None:
        against = System(base=base, adapter=adapter_folder(files, other, models))
    else:
        against = System(base=base, adapter=_rival(base, taught, train.height, models))
        notes.append(
            "No other author has an adapter on this base. In their place stands one with the same settings that learnt as many "
            "passages of Python's reference texts."
        )
    name = f"v{adapter.version}"
    systems = {
        "base": System(base=base, adapter=None),
        OTHER: against,
        **(
            {
                "champion": System(
                    base=bases.find_base(here, champion.base_model), adapter=adapter_folder(files, champion, models)
                )
            }
            if champion is not None
            else {}
        ),
        name: System(base=base, adapter=adapter_folder(files, adapter, models)),
    }
    turns = [[(turn["role"], turn["content"]) for turn in row["prompt"]] for row in rows]
    said = ask(systems, turns, [row["completion"] for row in rows], times=times, questions=len(questions))
    ruler = _ruler(known, train, author, here)
    card = scorecard(
        cases,
        {system: one.answers for system, one in said.items()},
        ruler,
        challenger=name,
        fits={system: one.fits for system, one in said.items()},
    )
    card, said_beside = optional.beside(card)
    notes += said_beside
    return _stored(database, author, adapter, card, version_id=taught.version_id, champion=champion, files=files,
                   documents=documents, notes=notes, hand=_hand(card, train, ruler) if champion else None)  # fmt: skip


def _hand(card: Scorecard, train: pl.DataFrame, ruler: Ruler) -> float:
    """Mean style of what the challenger learnt, by what the champion did."""
    texts = [
        habits(prose(text), ruler.profile.function_words) for text in datasets.drafts(train)["completion"].to_list()
    ]
    long_enough = [text for text in texts if text.length >= SHORTEST]
    return float(scores(long_enough, ruler.profile)[0].mean()) if long_enough else card.systems[AUTHOR].mean("style")


def _questions(test: pl.DataFrame, seen: set[UUID], most: int) -> list[dict[str, Any]]:
    """Questions to ask, at most one of each document. Of a dataset that was built without passages there are none."""
    asked = [row for row in test.iter_rows(named=True) if row["origin"] == QUESTION]
    return [row for row in asked if UUID(str(row["document_id"])) not in seen][:most]


def _chosen(test: pl.DataFrame, seen: set[UUID], most: int) -> list[dict[str, Any]]:
    """The held-out passages to ask for: none that the champion learnt, and first one of each document."""
    by_document: dict[str, list[dict[str, Any]]] = {}
    # Those with enough prose to have a style come first: of the others there is nothing to say on the axis that decides.
    for row in sorted(test.iter_rows(named=True), key=lambda one: not enough(prose(one["completion"]))):
        if row["words"] >= FEWEST_WORDS and UUID(str(row["document_id"])) not in seen:
            by_document.setdefault(str(row["document_id"]), []).append(row)
    if not by_document:
        raise InvalidInput(
            f"The dataset has no held-out passage of {FEWEST_WORDS} words to measure on. Collect more, then `twin dataset build`."
        )
    measured = dict(list(by_document.items())[: max(MOST_DOCUMENTS, most // DRAFTS)])
    chosen: list[dict[str, Any]] = []
    for turn in range(max(len(rows) for rows in measured.values())):
        chosen += [rows[turn] for rows in measured.values() if turn < len(rows)]
    return chosen[:most]


def _case(row: Mapping[str, Any]) -> Case:
    asked = next(turn["content"] for turn in reversed(row["prompt"]) if turn["role"] == "user")
    return Case(
        document=str(row["document_id"]),
        prompt=asked,
        reference=row["completion"],
        passages=quoted(asked),
        question=row["origin"] == QUESTION,
    )


def _taught(conn: Connection, adapter: Adapter) -> Adapter:
    """The adapter that learnt the author's text: itself, or the one that DPO went on from."""
    return adapters.adapter_by_id(conn, adapter.author_id, adapter.parent_id) if adapter.parent_id else adapter


def _learnt(conn: Connection, adapter: Adapter) -> pl.DataFrame:
    return datasets.read_version(conn, adapter.version_id, Split.TRAIN, adapter.fraction)


def _ruler(known: pl.DataFrame, train: pl.DataFrame, author: Author, here: Settings) -> Ruler:
    """Style by what is `known` to be the author's: what the champion learnt, which a person approved, or there is none yet. By what a
    challenger learnt itself, one that learnt somebody else's text would sound right. Copies of either are copies.
    """
    from twin_core.models.embedder import embedder

    by_document: dict[str, list[str]] = {}
    known, train = datasets.drafts(known), datasets.drafts(train)
    for document, answer in known.select("document_id", "completion").iter_rows():
        by_document.setdefault(str(document), []).append(answer)
    return Ruler(
        profile=profile_of([prose("\n\n".join(texts)) for texts in by_document.values()]),
        training=TrainingText([*known["completion"].to_list(), *train["completion"].to_list()]),
        encoder=Remembering(embedder(here)),
        public=tuple(here.dataset_keep),
        hostility=lambda text: float(hostility(text, author.language)),
    )


def _rival(base: str, adapter: Adapter, rows: int, models: Path) -> Path:
    """An adapter of the same settings that learnt somebody else's prose: any training improves a weak base."""
    import polars as pl

    from twin_core.models.tiny_base import reference_texts
    from twin_core.training.config import TrainingConfig
    from twin_core.training.sft import train_sft

    said = json.dumps([adapter.base_hash, dict(adapter.config), rows], sort_keys=True)
    folder = models / "rivals" / hashlib.sha256(said.encode()).hexdigest()[:16]
    made = folder / "adapter"
    if (made / "done").is_file():
        return made
    shutil.rmtree(folder, ignore_errors=True)
    words = " ".join(reference_texts()).split()
    # From the end: the tiny base, which learns the same texts, begins at the front.
    texts = [" ".join(words[at : at + RIVAL_WORDS]) for at in range(0, len(words) - RIVAL_WORDS, RIVAL_WORDS)][-rows:]
    frame = pl.DataFrame(
        [
            {
                "id": str(number),
                "prompt": [{"role": "user", "content": f"Write about {' '.join(text.split()[:5])}."}],
                "completion": text,
            }
            for number, text in enumerate(texts)
        ]
    )
    trained = train_sft(TrainingConfig.model_validate(adapter.config), frame, folder, base=base)
    (trained.folder / "done").touch()
    return trained.folder


def _stored(
    database: Database,
    author: Author,
    adapter: Adapter,
    card: Scorecard,
    *,
    version_id: str,
    champion: Adapter | None,
    files: FileStore,
    documents: Sequence[UUID],
    notes: Sequence[str],
    hand: float | None,
) -> Evaluation:
    with database.transaction() as conn:
        made = registry.add_evaluation(
            conn,
            author_id=author.id,
            adapter_id=adapter.id,
            version_id=version_id,
            split_id=hashlib.sha256("\n".join(sorted({case.document for case in card.cases})).encode()).hexdigest()[
                :16
            ],
            documents=card.documents,
            champion_id=champion.id if champion is not None else None,
            against=card.against,
            figures=_figures(card)
            | ({TRAINING_TEXT: dict.fromkeys(METRICS) | {"style": hand}} if hand is not None else {}),
            notes=notes,
            report_key=None,
        )
        decision = judge(conn, author.id, adapter)
    page = html(_shown(card), decision, title=f"Evaluation of v{adapter.version} of {author.name}", notes=notes)
    key = file_text(
        database,
        files,
        author.id,
        page.encode(),
        ending="html",
        kind=REPORT,
        document_ids=documents,
        version_id=version_id,
    )
    file_samples(database, files, made, card, documents=documents)
    with database.transaction() as conn:
        return registry.set_report(conn, made.id, key)


def _figures(card: Scorecard) -> dict[str, dict[str, float | None]]:
    return {
        name: {metric: value if isfinite(value := one.mean(metric)) else None for metric in METRICS}
        for name, one in card.systems.items()
    }


def _shown(card: Scorecard) -> Scorecard:
    """The card without what another author's adapter wrote: it may recite them, and the report is not theirs."""
    other = card.systems[OTHER]
    hidden = replace(
        other,
        answers=tuple("(not shown: the adapter of somebody else)" for _ in other.answers),
        copied=tuple(Copied(0, 0.0, ()) for _ in other.copied),
    )
    return replace(card, systems={**card.systems, OTHER: hidden})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
