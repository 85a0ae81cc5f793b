"""What OpenAPI says of a route beyond its signature: the header of a request that changes something, and event streams."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    Schema,
)

from twin_api.schemas import Problem

HEADER = "Idempotency-Key"
LONGEST_KEY = 255

ONCE = {
    status: ResponseSpec(Problem, description=said, media_type="application/problem+json", generate_examples=False)
    for status, said in {
        409: "A request with this `Idempotency-Key` is at work",
        422: "This `Idempotency-Key` was used for another request",
    }.items()
}
"""What a route that changes something may answer besides."""


@dataclass
class Write(Operation):
    """A route that changes something: it takes the header."""

    def __post_init__(self) -> None:
        given: list[Parameter | Reference] = list(self.parameters or [])
        header = Parameter(
            name=HEADER,
            param_in="header",
            required=False,
            description="Your own name for this request, such as a UUID: sent again within a day, it is done once.",
            schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=LONGEST_KEY, pattern="^[!-~]+$"),
        )
        self.parameters = [*given, header]


@dataclass
class WriteOrStream(Write):
    """One that answers with a stream of events where the request says `stream`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        add_events(self)


@dataclass
class Events(Operation):
    """A route that answers with a stream of events alone."""

    def __post_init__(self) -> None:
        add_events(self, alone=True)


@dataclass
class NoContent(Operation):
    """A route that answers without a body."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("204")
        if isinstance(answer, OpenAPIResponse):
            answer.content = None


def add_events(operation: Operation, *, alone: bool = False) -> None:
    """Say of the response 200 that it may be, or is, `text/event-stream`."""
    answer = (operation.responses or {}).get("200")
    if not isinstance(answer, OpenAPIResponse):
        return
    for content in (answer.content or {}).values():
        content.schema = _without_anything(content.schema)
    text = Schema(type=OpenAPIType.STRING)
    event = Schema(
        type=OpenAPIType.OBJECT,
        properties={"event": text, "data": text, "id": text},
        required=["data"],
        description="One server-sent event; `data` is JSON, or `[DONE]`.",
    )
    events = OpenAPIMediaType(schema=event)
    before = {} if alone else dict(answer.content or {})
    answer.content = {**before, "text/event-stream": events}


def _without_anything(schema: Schema | Reference | None) -> Schema | Reference | None:
    """The schema without the alternative that fits everything: what a handler returns that streams."""
    if not isinstance(schema, Schema) or not schema.one_of:
        return schema
    said = [one for one in schema.one_of if one != Schema()]
    if len(said) == 1:
        return said[0]
    schema.one_of = said
    return schema
