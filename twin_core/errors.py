"""The few exceptions that callers may catch. Each says what happened and what to do next.

`exit_code` is what the command line ends with: 2 for wrong usage or input, 3 for a service that is not there.
"""

from __future__ import annotations


class TwinError(Exception):
    """Anything this product raises on purpose. Its text is meant for a person."""

    exit_code = 1


class InvalidInput(TwinError):
    """What was asked for cannot be done as asked: an unknown author, a missing folder, a broken option."""

    exit_code = 2


class NotFound(InvalidInput):
    """The named thing does not exist, or not for this author."""


class NothingToPublish(InvalidInput):
    """There is not enough to make a dataset version of. What is published stays, and nobody did anything wrong."""


class Refused(InvalidInput):
    """A rule forbids it: no consent, an internal address, a forgotten document."""


class ServiceUnavailable(TwinError):
    """A service that is needed does not answer: the database, the LLM server."""

    exit_code = 3


class SourceUnavailable(TwinError):
    """A source as a whole could not be read: nothing is deleted, and the next run tries again."""


class ValidationFailed(TwinError):
    """Data did not pass its checks, so the transaction that would publish it was rolled back."""
