"""The shapes of `/v1/write`: what is asked for, what was written, and the data of the stream's named events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from twin_api.limits import QUESTION_CHARACTERS
from twin_api.schemas import CitationView, Notices, Outcome, Retrieval, UsageView
from twin_core.collect.links import MOST_LINKS
from twin_core.writing.citations import LinkUse
from twin_core.writing.kinds import FEWEST_WORDS, Kind
from twin_core.writing.write import MOST_DRAFTS, Draft, Written

Link = Annotated[str, Meta(min_length=1, max_length=2_000)]


class WriteRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Something new (`kind` and `brief`), or a draft changed (`revise` and `instruction`)."""

    kind: Kind | None = None
    brief: (
        Annotated[str, Meta(min_length=1, max_length=QUESTION_CHARACTERS, description="What to write about.")] | None
    ) = None
    links: Annotated[
        list[Link], Meta(max_length=MOST_LINKS, description="Pages and PDFs of others, as extra knowledge. Not stored.")
    ] = []
    drafts: Annotated[int, Meta(ge=1, le=MOST_DRAFTS)] = 1
    words: Annotated[int, Meta(ge=FEWEST_WORDS, description="About how long. Default: as its kind is.")] | None = None
    retrieval: Retrieval = None
    revise: Annotated[UUID, Meta(description="The trace id of a draft.")] | None = None
    instruction: (
        Annotated[str, Meta(min_length=1, max_length=QUESTION_CHARACTERS, description="What to change.")] | None
    ) = None
    stream: Annotated[bool, Meta(description="Named events: sources, delta, usage, error, done.")] = False


class LinkView(Struct, kw_only=True):
    """A linked page, and whether a draft names it by its label."""

    label: int
    cited: bool
    url: str
    title: str
    text: Annotated[str, Meta(description="What was quoted of it, from its beginning.")]
    characters: Annotated[int, Meta(description="Of its whole main text.")]
    written_at: datetime | None

    @classmethod
    def of(cls, use: LinkUse) -> LinkView:
        """The link as the API shows it."""
        return cls(
            label=use.label,
            cited=use.cited,
            url=use.url,
            title=use.title,
            text=use.text,
            characters=use.characters,
            written_at=use.written_at,
        )


class DraftView(Struct, kw_only=True):
    """One draft, with the labels it names."""

    number: Annotated[int, Meta(description="From 1; 0 is an article's outline.")]
    trace_id: Annotated[UUID, Meta(description="What `revise` and feedback name it by.")]
    text: str
    outcome: Outcome
    finish_reason: str
    cited: list[int]
    usage: UsageView | None

    @classmethod
    def of(cls, draft: Draft) -> DraftView:
        """The draft as the API shows it."""
        return cls(
            number=draft.number,
            trace_id=draft.trace_id,
            text=draft.text,
            outcome=draft.outcome,
            finish_reason=draft.finish_reason,
            cited=draft.cited,
            usage=usage_of(draft),
        )


class WriteResponse(Struct, kw_only=True):
    """What was written, and what it was written from."""

    kind: Kind
    words: Annotated[int, Meta(description="What was asked of the model: less than `words` where its window is small.")]
    outcome: Annotated[
        Literal["answered", "retrieval_only", "failed"],
        Meta(description="`failed`: a draft broke off or is missing; `retrieval_only`: no language model answered."),
    ]
    outline: DraftView | None
    drafts: list[DraftView]
    citations: Annotated[list[CitationView], Meta(description="`cited`: by any of the drafts.")]
    links: list[LinkView]
    notices: Notices

    @classmethod
    def of(cls, written: Written) -> WriteResponse:
        """All of it as the API shows it."""
        drafts = [DraftView.of(draft) for draft in written.drafts]
        cited = {label for draft in drafts for label in draft.cited}
        citations = [CitationView.of(one) for one in written.drafts[0].citations]
        links = [LinkView.of(one) for one in written.drafts[0].links]
        for citation in citations:
            citation.cited = citation.label in cited
        for link in links:
            link.cited = link.label in cited
        return cls(
            kind=written.kind,
            words=written.words,
            outcome=written.outcome,
            outline=DraftView.of(written.outline) if written.outline else None,
            drafts=drafts,
            citations=citations,
            links=links,
            notices=list(written.notices),
        )


class SourcesEvent(Struct, kw_only=True):
    """`sources`: what the drafts are made from."""

    citations: list[CitationView]
    links: list[LinkView]
    notices: Notices


class DeltaEvent(Struct, kw_only=True):
    """`delta`: a piece of a draft, in order; draft 0 is the outline."""

    draft: int
    text: str


class UsageEvent(Struct, kw_only=True):
    """`usage`: what one draft cost, at its end."""

    draft: int
    trace_id: UUID
    outcome: Outcome
    usage: UsageView | None


class ErrorEvent(Struct, kw_only=True):
    """`error`: what went wrong after the headers went out."""

    detail: str


def usage_of(draft: Draft) -> UsageView | None:
    """Tokens of a draft; None when no engine counted."""
    if draft.usage is None:
        return None
    prompt, completion = draft.usage.prompt_tokens, draft.usage.completion_tokens
    return UsageView(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
