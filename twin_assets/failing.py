"""Which errors end a step for good and which are tried again.

Dagster retries whatever a step raises, unless it is a Failure that forbids it. A wrong setting or a bug does not go
away by trying again, so everything but a service that is away for a moment becomes such a Failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from twin_core.errors import ServiceUnavailable, TwinError


@contextmanager
def permanent_errors_are_final() -> Iterator[None]:
    """Let ServiceUnavailable through, to be retried; turn everything else into a Failure that is not.

    The cause stays attached. An unexpected error is named by its type alone: its text may quote a document, and what
    the orchestrator stores holds ids and counts only.
    """
    try:
        yield
    except (ServiceUnavailable, dg.Failure):
        raise
    except TwinError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    except Exception as error:
        raise dg.Failure(
            description=f"{type(error).__name__}, which no retry will cure. The cause is below.", allow_retries=False
        ) from error
