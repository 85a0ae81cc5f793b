"""A database of its own on the MongoDB that TWIN_TEST_MONGO_URL names, gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pymongo import MongoClient

HOW = (
    "needs a server that speaks MongoDB's protocol: set TWIN_TEST_MONGO_URL=mongodb://127.0.0.1:PORT to a MongoDB, or "
    "to `python3.13 tests/contract/mongo_server.py PORT FILE` (pip install 'mongoeco[wire]')"
)


@contextmanager
def fresh_mongo_url() -> Iterator[str]:
    server = os.environ.get("TWIN_TEST_MONGO_URL")
    if not server:
        pytest.skip(HOW)
    name = f"t_{uuid4().hex[:16]}"
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with MongoClient[dict[str, object]](server, serverSelectionTimeoutMS=5000) as client:
        client.drop_database(name)
