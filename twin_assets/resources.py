"""What assets, checks and sensors are given: the settings and the stores, opened when first used and closed after.

The resource has no configuration of its own: everything is in `twin_core.settings`, read by the process that runs,
so that no secret is ever written into a run's configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg
from pydantic import PrivateAttr

from twin_core.runtime.stores import Stores, open_stores
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings
from twin_core.settings import settings as settings_of_this_process
from twin_core.store.database import Database

Progress = Callable[[int, int], None]
"""Told (done, total) while a stage works."""


class Twin(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The twin's settings, stores and clock. `with_settings` gives one with other settings."""

    _stores: Stores | None = PrivateAttr(default=None)
    _database: Database | None = PrivateAttr(default=None)

    def settings(self) -> Settings:
        """The settings of this process."""
        return settings_of_this_process()

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def progress(self, stage: str) -> Progress | None:  # noqa: ARG002  with_settings overrides it
        """Who is told how far `stage` is. Nobody, unless the run is a person's own (`twin sync`)."""
        return None

    @property
    def stores(self) -> Stores:
        """The stores: Postgres started when it is ours and down, schema up to date."""
        if self._stores is None:
            self._stores = open_stores(self.settings())
        return self._stores

    @property
    def database(self) -> Database:
        """The database alone, taken as it is: for sensors, which look every half minute and must start nothing."""
        if self._stores is not None:
            return self._stores.database
        if self._database is None:
            self._database = Database(url_for(self.settings()), pool_size=1)
        return self._database

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002  Dagster's signature
        """Close what was opened."""
        if self._stores is not None:
            self._stores.close()
        if self._database is not None:
            self._database.close()
        self._stores = self._database = None


def with_settings(
    settings: Settings,
    *,
    progress: Callable[[str], Progress | None] | None = None,
    now: Callable[[], datetime] | None = None,
) -> Twin:
    """A `Twin` with these settings, telling `progress(stage)` how far each stage is.

    Dagster makes a new instance of a resource's class for every run, which keeps no attribute that is not
    configuration: hence a class that closes over the values.
    """

    class Given(Twin):
        def settings(self) -> Settings:
            return settings

        def now(self) -> datetime:
            return now() if now is not None else super().now()

        def progress(self, stage: str) -> Progress | None:
            return progress(stage) if progress is not None else None

    return Given()
