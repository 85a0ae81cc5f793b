"""Tells a person that a run failed: JSON to the webhook of TWIN_ALERT_URL, or a line in the log when there is none.

An alert says which run, which step and what kind of error, and never quotes a document. A webhook that does not
answer is an error of its own: it must not look as if nobody had to be told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from twin_core.errors import ServiceUnavailable
from twin_core.settings import Settings

TIMEOUT_SECONDS = 10.0

_log = logging.getLogger("twin.alerts")


def send(settings: Settings, alert: Mapping[str, object]) -> None:
    """Post the alert. Raises ServiceUnavailable when the webhook cannot be reached or refuses it."""
    if settings.alert_url is None:
        _log.error("%s", " ".join(f"{name}={value}" for name, value in alert.items()))
        return
    import httpx2

    try:
        answer = httpx2.post(settings.alert_url.get_secret_value(), json=dict(alert), timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        # Not the error's own text: it holds the URL, which may hold a token.
        raise ServiceUnavailable(f"The alert webhook of TWIN_ALERT_URL failed: {type(error).__name__}.") from None
