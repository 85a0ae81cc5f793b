"""Every error as problem details (RFC 9457): what happened, what to do, and an id to find it in the log by.

No internals: what the code did not raise on purpose is logged with its traceback and shown as a plain 500.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from uuid import uuid4

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from twin_api.limits import TooMany
from twin_core.errors import InvalidInput, NotFound, Refused, ServiceUnavailable, TwinError

log = logging.getLogger("twin_api")

MEDIA_TYPE = "application/problem+json"

AnyRequest = Request[object, object, State]


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> Response[dict[str, object]]:
    """One problem as a response; `more` are further members. `error` repeats it where OpenAI's clients look."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{uuid4()}",
        "error": {"message": detail, "type": HTTPStatus(status).phrase, "code": status},
        **more,
    }
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _http(request: AnyRequest, error: HTTPException) -> Response[dict[str, object]]:
    if error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(request, error)
    more = {"errors": _fields(error.extra)} if isinstance(error.extra, list) and error.extra else {}
    detail = error.detail
    if more:
        detail = "The request does not have the documented shape; `errors` says where. See /schema."
    return problem(error.status_code, detail, headers=error.headers, **more)


def _fields(extra: list[object]) -> list[dict[str, object]]:
    return [
        {name: str(one[name]) for name in ("key", "source", "message") if name in one}
        for one in extra
        if isinstance(one, dict)
    ]


def _too_many(_: AnyRequest, error: TooMany) -> Response[dict[str, object]]:
    return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), headers={"Retry-After": str(ceil(error.seconds))})


def _ours(request: AnyRequest, error: TwinError) -> Response[dict[str, object]]:
    if isinstance(error, NotFound):
        return problem(HTTPStatus.NOT_FOUND, str(error))
    if isinstance(error, Refused):
        return problem(HTTPStatus.FORBIDDEN, str(error))
    if isinstance(error, InvalidInput):
        return problem(HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, ServiceUnavailable):
        # Its text names hosts and settings: that is for the person at the server.
        response = problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "A service that this needs does not answer at the moment. Try again shortly.",
            headers={"Retry-After": "5"},
        )
        log.warning("%s: %s", response.content["instance"], error)
        return response
    return _unexpected(request, error)


def _unexpected(_: AnyRequest, error: Exception) -> Response[dict[str, object]]:
    response = problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side. The log has it under the id in `instance`."
    )
    log.error("%s", response.content["instance"], exc_info=error)
    return response


HANDLERS: ExceptionHandlersMap = {
    HTTPException: _http,
    TooMany: _too_many,
    TwinError: _ours,
    Exception: _unexpected,
}
