"""What the collectors' tests share: a loopback site, settings without a database, and how a second run is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid5

import pytest

from tests.collect.site import Site, served
from twin_core import identity
from twin_core.records import Consent, Source
from twin_core.settings import Settings

AUTHOR = identity.author_id("jane-doe")


def source_of(platform: str, locator: str, **options: str | list[str]) -> Source:
    return Source(
        id=uuid5(AUTHOR, f"{platform}{locator}"),
        author_id=AUTHOR,
        platform=platform,
        locator=locator,
        options=options,
        consent=Consent(claimed_by="Jane Doe", proof="it is mine", claimed_at=datetime(2024, 1, 1, tzinfo=UTC)),
    )


@pytest.fixture
def site() -> Iterator[Site]:
    with served(Site()) as running:
        yield running


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: object) -> Settings:
        values: dict[str, object] = {
            "home": tmp_path / "home",
            "crawl_requests_per_second": 1000.0,
            "crawl_timeout_seconds": 60.0,  # a busy machine must not fail a test
            "contact": "jane@example.org",
        }
        return Settings(_env_file=None, **{**values, **changes})  # type: ignore[arg-type]

    return make
