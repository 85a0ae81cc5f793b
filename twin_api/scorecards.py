"""`/v1/adapters/{id}/scorecard`, `report`, `samples` and `votes`: what a decision on an adapter rests on.

Figures and report are the evaluation's. Samples are compared blind: which side is the challenger's is known here and is
not said before a vote. Votes stand beside the figures for whoever decides; nothing is trained on them, because the
prompts are held out.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct

from twin_api.auth import requires
from twin_api.operations import ONCE, Write
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_core.errors import NotFound
from twin_core.evaluation.samples import challenger_is_left, read_samples
from twin_core.promotion import GUARDRAILS
from twin_core.store import adapters, registry, samples
from twin_core.store.files import file_store, read_file
from twin_core.store.keys import KeyHolder
from twin_core.store.samples import Better

AdapterId = Annotated[str, Parameter(max_length=100)]
Side = Literal["left", "right", "neither"]

# The report brings its own styles and pictures, runs nothing, reaches nobody, and is not of this origin.
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"


class DifferenceView(Struct, kw_only=True):
    """Challenger minus the other, on one axis. Above nought is better on every axis."""

    mean: float
    low: float
    high: float


class VotesView(Struct, kw_only=True):
    """How often each was found better by a person who did not know which was which."""

    challenger: int
    other: int
    neither: int


class ScorecardView(Struct, kw_only=True):
    """What an adapter was measured at last."""

    evaluation_id: UUID
    adapter_id: str
    version: int
    at: datetime
    documents: Annotated[int, Meta(description="Held-out documents that it was measured on.")]
    champion_version: Annotated[int | None, Meta(description="What served when it was measured; null: the base model.")]
    against: dict[str, dict[str, DifferenceView]]
    margins: Annotated[dict[str, float], Meta(description="How far a guardrail's axis may fall.")]
    figures: Annotated[dict[str, dict[str, float | None]], Meta(description="System, metric, mean.")]
    notes: Annotated[
        list[str], Meta(description="What must be known to read the figures, such as who judged, or why nobody did.")
    ]
    report: Annotated[bool, Meta(description="Whether `report` shows it as a page.")]
    samples: Annotated[int, Meta(description="Pairs to compare.")]
    votes: VotesView


class SampleView(Struct, kw_only=True):
    """One prompt and two answers."""

    number: int
    prompt: str
    left: str
    right: str
    better: Side | None
    """What was voted, if anything was."""


class SamplesView(Struct, kw_only=True):
    """Pairs of answers. After a vote on all of them, `votes` of the scorecard says who won."""

    evaluation_id: UUID
    samples: list[SampleView]


class VoteRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which answer of a sample is better."""

    evaluation_id: UUID
    sample: Annotated[int, Meta(ge=1, le=1_000)]
    better: Side


class ScorecardsController(Controller):
    """The evidence on an adapter of the key's author."""

    path = "/v1/adapters/{adapter_id:str}"
    tags = ("adapters",)
    guards = (requires("read"),)

    @get("/scorecard", summary="What an adapter was measured at", responses=ERRORS | NOT_FOUND)
    async def scorecard(self, adapter_id: AdapterId, holder: KeyHolder, services: Services) -> ScorecardView:
        """The latest evaluation: differences with 95 % intervals, figures by system, votes."""
        return await asyncio.to_thread(_scorecard, services, holder.author_id, adapter_id)

    @get("/report", summary="The evaluation's report, a page", media_type="text/html", responses=ERRORS | NOT_FOUND)
    async def report(self, adapter_id: AdapterId, holder: KeyHolder, services: Services) -> Response[bytes]:
        """HTML that needs nothing else. It holds text of the author, and is sandboxed."""
        page = await asyncio.to_thread(_report, services, holder.author_id, adapter_id)
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})

    @get("/samples", summary="Answers to compare without knowing whose they are", responses=ERRORS | NOT_FOUND)
    async def samples(self, adapter_id: AdapterId, holder: KeyHolder, services: Services) -> SamplesView:
        """The challenger's answer and that of what served then, on sides that mean nothing."""
        return await asyncio.to_thread(_samples, services, holder.author_id, adapter_id)

    @post(
        "/votes",
        status_code=HTTP_200_OK,
        guards=[requires("write")],
        operation_class=Write,
        summary="Say which answer is better",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def vote(self, adapter_id: AdapterId, data: VoteRequest, holder: KeyHolder, services: Services) -> VotesView:
        """Of two votes on a sample the later one counts."""
        return await asyncio.to_thread(_vote, services, holder, adapter_id, data)


def _scorecard(services: Services, author_id: UUID, adapter_id: str) -> ScorecardView:
    with services.database.as_author(author_id) as conn:
        adapter = adapters.adapter_by_id(conn, author_id, adapter_id)
        found = registry.latest_evaluation(conn, author_id, adapter.id)
        if found is None:
            raise NotFound(f"v{adapter.version} was never measured. Run `twin evaluate --adapter v{adapter.version}`.")
        champion = adapters.adapter_by_id(conn, author_id, found.champion_id) if found.champion_id else None
        filed = samples.samples_of(conn, author_id, found.id)
        tally = samples.tally(samples.votes(conn, author_id, found.id))
    return ScorecardView(
        evaluation_id=found.id,
        adapter_id=adapter.id,
        version=adapter.version,
        at=found.at,
        documents=found.documents,
        champion_version=champion.version if champion else None,
        against={
            rival: {axis: DifferenceView(mean=one.mean, low=one.low, high=one.high) for axis, one in axes.items()}
            for rival, axes in found.against.items()
        },
        margins={axis: rule.margin for axis, rule in GUARDRAILS.items()},
        figures={name: dict(one) for name, one in found.figures.items()},
        notes=list(found.notes),
        report=found.report_key is not None,
        samples=filed.count if filed else 0,
        votes=VotesView(**tally),
    )


def _report(services: Services, author_id: UUID, adapter_id: str) -> bytes:
    with services.database.as_author(author_id) as conn:
        adapter = adapters.adapter_by_id(conn, author_id, adapter_id)
        found = registry.latest_evaluation(conn, author_id, adapter.id)
    if found is None or found.report_key is None:
        raise NotFound(
            f"There is no report on v{adapter.version}. `twin evaluate --adapter v{adapter.version}` makes one."
        )
    return read_file(file_store(services.settings), found.report_key)


def _samples(services: Services, author_id: UUID, adapter_id: str) -> SamplesView:
    with services.database.as_author(author_id) as conn:
        adapter = adapters.adapter_by_id(conn, author_id, adapter_id)
        found = registry.latest_evaluation(conn, author_id, adapter.id)
        filed = samples.samples_of(conn, author_id, found.id) if found else None
        voted = samples.votes(conn, author_id, found.id) if found else {}
    if filed is None:
        raise NotFound(
            f"There are no samples of v{adapter.version}. `twin evaluate --adapter v{adapter.version}` makes some."
        )
    shown = []
    for number, one in enumerate(read_samples(file_store(services.settings), filed), 1):
        left = challenger_is_left(filed.evaluation_id, number)
        shown.append(
            SampleView(
                number=number,
                prompt=one.prompt,
                left=one.challenger if left else one.other,
                right=one.other if left else one.challenger,
                better=_side(voted[number], left=left) if number in voted else None,
            )
        )
    return SamplesView(evaluation_id=filed.evaluation_id, samples=shown)


def _vote(services: Services, holder: KeyHolder, adapter_id: str, data: VoteRequest) -> VotesView:
    author_id = holder.author_id
    with services.database.as_author(author_id) as conn:
        adapter = adapters.adapter_by_id(conn, author_id, adapter_id)
        found = registry.evaluation_by_id(conn, author_id, data.evaluation_id)
        filed = samples.samples_of(conn, author_id, found.id)
        if found.adapter_id != adapter.id or filed is None:
            raise NotFound("There are no such samples of this adapter.")
        left = challenger_is_left(found.id, data.sample)
        samples.vote(conn, author_id, filed, data.sample, _meant(data.better, left=left), key_id=holder.key_id)
        return VotesView(**samples.tally(samples.votes(conn, author_id, found.id)))


def _meant(side: Side, *, left: bool) -> Better:
    if side == "neither":
        return "neither"
    return "challenger" if (side == "left") == left else "other"


def _side(better: Better, *, left: bool) -> Side:
    if better == "neither":
        return "neither"
    return "left" if (better == "challenger") == left else "right"
