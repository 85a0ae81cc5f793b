"""What is sent to add a source."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=2_000)]


class NewSource(Struct, kw_only=True, forbid_unknown_fields=True):
    """A place on the web that the author writes in."""

    locator: Annotated[str, Meta(min_length=1, max_length=2_000, description="Its address, or the account's name.")]
    platform: (
        Annotated[
            str, Meta(min_length=1, max_length=50, description="web, git, github, medium, ... Default: by its address.")
        ]
        | None
    ) = None
    schedule: Annotated[str, Meta(max_length=100, description="Cron, five fields, UTC.")] | None = None
    options: Annotated[
        dict[str, Text | Annotated[list[Text], Meta(max_length=100)]],
        Meta(max_length=20, description="As `twin source add --option` takes them: include, exclude, category, ..."),
    ] = {}
    mine: Annotated[bool, Meta(description="The author wrote what is there, and agrees.")] = False
    proof: Annotated[str, Meta(max_length=2_000, description="On what that claim rests, in your own words.")] | None = (
        None
    )
    rel_me: (
        Annotated[str, Meta(max_length=2_000, description='A page of the author that links there, rel="me".')] | None
    ) = None
    claimed_by: Annotated[str, Meta(min_length=1, max_length=200, description="Who says so.")] | None = None
