"""`/v1/traces`, `/v1/lineage` and `/v1/monitor`: how answers came about, what they rest on, and how it has been going.

Traces hold what people asked, so they need the scope `write`, as teaching does: whoever may only ask does not read
what others asked. Lineage and figures hold no question and no answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get
from litestar.di import Provide
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.params import Parameter

from twin_api.auth import requires
from twin_api.paging import Cursor
from twin_api.schemas import ERRORS, NOT_FOUND
from twin_api.services import Services
from twin_api.trace_schemas import LearningView, LineageView, MonitorView, TraceDetailView, TraceList, TraceView
from twin_core.errors import InvalidInput
from twin_core.monitoring import learning
from twin_core.monitoring.retraining import advise
from twin_core.monitoring.trace_export import MEDIA_TYPES, Form, encoded
from twin_core.store import monitor, traced
from twin_core.store.database import Database
from twin_core.store.keys import KeyHolder
from twin_core.store.traces import TraceKind, TraceOutcome

TRACES_PER_PAGE = 200
_LISTING = "traces"
EXPORTED = 10_000
MOST_DAYS = 366


@dataclass
class Export(Operation):
    """Says which kinds of file there are."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse):
            file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
            answer.content = dict.fromkeys(MEDIA_TYPES.values(), file)


def _wanted(
    *,
    kind: Annotated[TraceKind | Literal["draft"] | None, Parameter(description="`draft`: all but answers.")] = None,
    outcome: TraceOutcome | None = None,
    model: Annotated[str | None, Parameter(max_length=200)] = None,
    since: Annotated[datetime | None, Parameter(description="Inclusive, with a time zone.")] = None,
    until: Annotated[datetime | None, Parameter(description="Exclusive, with a time zone.")] = None,
    feedback: Annotated[traced.Said | None, Parameter(description="What the last word on it is.")] = None,
) -> traced.Wanted:
    """Which traces a list or an export is of."""
    for name, when in (("since", since), ("until", until)):
        if when is not None and when.tzinfo is None:
            raise InvalidInput(f"`{name}` has no time zone. Give it one, such as 2026-03-01T00:00:00Z.")
    return traced.Wanted(kind=kind, outcome=outcome, model=model, since=since, until=until, feedback=feedback)


class TracesController(Controller):
    """The answers and drafts of the key's author."""

    path = "/v1/traces"
    tags = ("traces",)
    guards = (requires("write"),)
    dependencies = {"wanted": Provide(_wanted, sync_to_thread=False)}  # noqa: RUF012 - read by Litestar, never changed

    @get("/", summary="List answers and drafts", responses=ERRORS)
    async def traces(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        wanted: traced.Wanted,
        limit: Annotated[int, Parameter(ge=1, le=TRACES_PER_PAGE)] = 50,
        cursor: Cursor = None,
    ) -> TraceList:
        """The latest first, page by page."""
        return await asyncio.to_thread(_page, services, holder.author_id, wanted, limit, cursor)

    @get(
        "/export",
        operation_class=Export,
        summary="Answers and drafts as one file",
        media_type="application/jsonl",
        responses=ERRORS,
    )
    async def export(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        form: Annotated[Form, Parameter(query="format", description="JSON lines, or Parquet.")] = Form.JSONL,
        wanted: traced.Wanted,
    ) -> Response[bytes]:
        """One row each, the earliest first, at most 10,000: narrow by `since` and `until`. Forgetting does not reach it."""
        content = await asyncio.to_thread(_export, services.database, holder.author_id, wanted, form)
        name = f'attachment; filename="traces.{form.value}"'
        return Response(content, media_type=MEDIA_TYPES[form], headers={"Content-Disposition": name})

    @get("/{trace_id:uuid}", summary="One answer or draft in whole", responses=ERRORS | NOT_FOUND)
    async def trace(self, trace_id: UUID, holder: KeyHolder, services: Services) -> TraceDetailView:
        """Question, searches, candidates, passages, versions, timings, cost, outcome and feedback."""
        return await asyncio.to_thread(_detail, services.database, holder.author_id, trace_id)


class LineageController(Controller):
    """What things rest on."""

    path = "/v1/lineage"
    tags = ("traces",)
    guards = (requires("read"),)

    @get("/answers/{trace_id:uuid}", summary="What an answer rests on", responses=ERRORS | NOT_FOUND)
    async def answer(self, trace_id: UUID, holder: KeyHolder, services: Services) -> LineageView:
        """Passages with their revisions, documents and sources; the adapter with its dataset and documents."""
        return await asyncio.to_thread(_lineage, services.database, holder.author_id, trace_id)


class MonitorController(Controller):
    """How the twin of the key's author has been doing."""

    path = "/v1/monitor"
    tags = ("traces",)
    guards = (requires("read"),)

    @get("/", summary="Answers, latency, tokens, cost, feedback and drift", responses=ERRORS)
    async def monitor(
        self,
        *,
        holder: KeyHolder,
        services: Services,
        days: Annotated[int, Parameter(ge=1, le=MOST_DAYS, description="Up to today.")] = 30,
    ) -> MonitorView:
        """Per day in UTC, the earliest first; and whether it is time to learn again."""
        return await asyncio.to_thread(_monitor, services.database, holder.author_id, days)


def _page(services: Services, author_id: UUID, wanted: traced.Wanted, limit: int, cursor: str | None) -> TraceList:
    after = services.pager.read(_LISTING, author_id, cursor, tuple[datetime, UUID])
    with services.database.as_author(author_id) as conn:
        rows = traced.page_of_traces(conn, author_id, wanted, after=after, limit=limit + 1)
    page, further = services.pager.cut(_LISTING, author_id, rows, limit, lambda one: (one.at, one.id))
    return TraceList(traces=[TraceView.of(row) for row in page], next_cursor=further)


def _export(database: Database, author_id: UUID, wanted: traced.Wanted, form: Form) -> bytes:
    with database.as_author(author_id) as conn:
        rows = traced.rows_to_export(conn, author_id, wanted, limit=EXPORTED + 1)
    if len(rows) > EXPORTED:
        raise InvalidInput(f"These are more than {EXPORTED:,} traces. Narrow them with `since` and `until`.")
    return encoded(rows, form)


def _detail(database: Database, author_id: UUID, trace_id: UUID) -> TraceDetailView:
    with database.as_author(author_id) as conn:
        return TraceDetailView.of(traced.trace_detail(conn, author_id, trace_id))


def _lineage(database: Database, author_id: UUID, trace_id: UUID) -> LineageView:
    with database.as_author(author_id) as conn:
        return LineageView.of(traced.answer_lineage(conn, author_id, trace_id))


def _monitor(database: Database, author_id: UUID, count: int) -> MonitorView:
    now = datetime.now(UTC)
    since = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=count - 1)
    with database.as_author(author_id) as conn:
        found = monitor.days(conn, author_id, since=since, until=now)
        facts, _ = learning.facts(conn, author_id, now)
    return MonitorView.of(found, since, now, LearningView.of(facts, advise(facts)))
