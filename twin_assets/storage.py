"""Dagster's own storage: the `dagster` database beside the twin's, found without any configuration.

`dagster.yaml` names this class. The stock one wants a URL or the name of a variable that holds one, so that a plain
`dagster dev` in the checkout, where nobody set the variable, would not start.
"""

from __future__ import annotations

import os
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres.storage import DagsterPostgresStorage

from twin_core.runtime.urls import url_for
from twin_core.settings import settings

URL_VARIABLE = "TWIN_DAGSTER_PG_URL"


class TwinDagsterStorage(DagsterPostgresStorage):
    """Postgres at TWIN_DAGSTER_PG_URL, which `twin up` and `twin sync` set; else where the settings say.

    The psycopg2 dialect is named in the URL: dagster-postgres needs it, SQLAlchemy 2.1 would take psycopg 3.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> TwinDagsterStorage:
        """The storage. Connects to nothing by itself: the database must be up, `twin migrate` starts and makes it."""
        del config_value
        url = os.environ.get(URL_VARIABLE) or url_for(settings(), database="dagster", dialect="psycopg2")
        return cls(url, inst_data=inst_data)
