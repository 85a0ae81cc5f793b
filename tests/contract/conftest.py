"""Both warehouses, each over a real connection: the Postgres of the run, and MongoDB where the environment names one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.mongo import fresh_mongo_url
from twin_core.warehouse.mongo import MongoWarehouse
from twin_core.warehouse.postgres import PostgresWarehouse
from twin_core.warehouse.protocol import Warehouse


@pytest.fixture(params=["postgres", pytest.param("mongodb", marks=pytest.mark.mongo)])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    if request.param == "postgres":
        yield PostgresWarehouse(request.getfixturevalue("database"))
        return
    with fresh_mongo_url() as url:
        opened = MongoWarehouse(url)
        yield opened
        opened.close()
