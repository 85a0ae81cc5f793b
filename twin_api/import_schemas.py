"""The shapes of `/v1/imports`. What is sent is a form with a file, described here for OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, RequestBody, Schema
from msgspec import Meta, Struct

from twin_api.operations import Write
from twin_core.store.import_requests import ImportRequest


class ImportView(Struct, kw_only=True):
    """An uploaded export, and what has become of it."""

    id: UUID
    name: str
    bytes: int
    sha256: str
    state: Annotated[
        Literal["requested", "collecting", "done", "refused"],
        Meta(
            description="`collecting`: it was recognised, and its items are being read; `refused`: `problem` says why."
        ),
    ]
    source_ids: Annotated[list[UUID], Meta(description="The sources that it became.")]
    collect_ids: Annotated[
        list[UUID], Meta(description="Requests to collect these: `/v1/collect/events?request_id=` shows the ledger.")
    ]
    problem: str | None
    requested_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, request: ImportRequest) -> ImportView:
        """The upload as the API shows it."""
        return cls(
            id=request.id,
            name=request.name,
            bytes=request.bytes,
            sha256=request.sha256,
            state=request.state,  # type: ignore[arg-type]  # a constraint of the table
            source_ids=list(request.source_ids),
            collect_ids=list(request.collect_ids),
            problem=request.problem,
            requested_at=request.requested_at,
            finished_at=request.finished_at,
        )


class ImportList(Struct, kw_only=True):
    """Uploads, the latest first."""

    imports: list[ImportView]
    next_cursor: str | None


@dataclass
class UploadOperation(Write):
    """Says of the request what its handler reads from the stream by itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        text, texts = Schema(type=OpenAPIType.STRING, max_length=200), Schema(type=OpenAPIType.ARRAY, max_items=20)
        texts.items = text
        texts.description = (
            "The author's name or address in a chat or mailbox, where the export does not say; again for more."
        )
        form = Schema(
            type=OpenAPIType.OBJECT,
            required=["file"],
            properties={
                "file": Schema(
                    type=OpenAPIType.STRING,
                    format=OpenAPIFormat.BINARY,
                    description="An export as it was downloaded, or a paper.",
                ),
                "as": texts,
                "mine": Schema(
                    type=OpenAPIType.BOOLEAN,
                    description="The author wrote what is there, and agrees: needed for what anybody could have.",
                ),
                "claimed_by": Schema(
                    type=OpenAPIType.STRING, max_length=200, description="Who says so. Default: the key."
                ),
            },
        )
        self.request_body = RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=form)}, required=True)
