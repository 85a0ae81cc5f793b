"""`/v1/feedback`: what a person says of an answer. It becomes preference rows of the next dataset.

It needs the scope `write`, because a twin learns from it: whoever may only ask cannot teach.
"""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from litestar import Controller, post
from litestar.openapi.spec import Example
from litestar.params import Body

from twin_api.auth import requires
from twin_api.operations import ONCE, Write
from twin_api.schemas import ERRORS, NOT_FOUND, FeedbackRequest, FeedbackResponse
from twin_api.services import Services
from twin_core.store.feedback import give_feedback
from twin_core.store.keys import KeyHolder
from twin_core.writing.recording import kept_edit

_TRACE = "0198a3f0-0000-7000-8000-000000000000"
_EXAMPLES = [
    Example(summary="Not good", value={"trace_id": _TRACE, "verdict": "down"}),
    Example(summary="How it should have read", value={"trace_id": _TRACE, "edited": "Restore first, then trust it."}),
]


class FeedbackController(Controller):
    """Words on answers of the key's author."""

    path = "/v1/feedback"
    tags = ("feedback",)
    guards = (requires("write"),)

    @post(
        "/",
        operation_class=Write,
        summary="Say whether an answer was good, or how it should have read",
        responses=ERRORS | NOT_FOUND | ONCE,
    )
    async def give(
        self,
        data: Annotated[FeedbackRequest, Body(examples=_EXAMPLES)],
        holder: KeyHolder,
        services: Services,
    ) -> FeedbackResponse:
        """Record it. Of several words on one answer the last one counts."""
        return FeedbackResponse(id=await asyncio.to_thread(_give, services, holder, data))


def _give(services: Services, holder: KeyHolder, data: FeedbackRequest) -> UUID:
    edited = kept_edit(data.edited, services.settings)
    with services.database.as_author(holder.author_id) as conn:
        return give_feedback(
            conn, holder.author_id, data.trace_id, verdict=data.verdict, edited=edited, key_id=holder.key_id
        )
