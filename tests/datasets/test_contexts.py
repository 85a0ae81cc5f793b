"""What is learnt is asked for in the words in which drafts are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.api.scenario import two_authors
from tests.models.chat_server import ChatServer
from twin_core.datasets.contexts import KINDS, NOTHING, asked
from twin_core.records import Category
from twin_core.settings import Settings
from twin_core.store.authors import author_by_slug
from twin_core.store.database import Database
from twin_core.writing.kinds import Kind
from twin_core.writing.write import Brief, write

_PASSAGE = re.compile(r"\[\d+\] [^\n]*\n<passage-\d+>\n.*?\n</passage-\d+>|\(none\)", re.DOTALL)
_OUTLINE = re.compile(r"<passage-outline>\n.*?\n</passage-outline>", re.DOTALL)


@pytest.fixture
def engine() -> Iterator[ChatServer]:
    served = ChatServer()
    served.start()
    yield served
    served.stop()


@pytest.mark.parametrize("kind", [Kind.POST, Kind.ARTICLE, Kind.CODE])
def test_an_example_is_asked_for_as_a_draft_of_its_kind_is(
    database: Database, settings: Settings, engine: ChatServer, kind: Kind
) -> None:
    two_authors(database, settings)
    with database.transaction() as conn:
        author = author_by_slug(conn, "jane")
    here = settings.model_copy(update={"llm_url": engine.url, "llm_engine": "vllm", "llm_model": "it"})
    write(database, author, Brief(kind=kind, text="Why I restore a backup", words=60), settings=here)
    served = [message["content"] for message in engine.requests[-1]["messages"]]
    learnt = [
        content
        for _, content in asked(author, "en", kind, "Why I restore a backup", words=60, quotations=NOTHING.quotations())
    ]
    assert learnt[0] == served[0]
    without = [_OUTLINE.sub("(outline)", _PASSAGE.sub("(none)", user)) for user in (learnt[1], served[1])]
    assert re.sub(r"(\(none\)\s+)+", "(none)\n\n", without[0]) == re.sub(r"(\(none\)\s+)+", "(none)\n\n", without[1])


def test_every_category_has_a_kind() -> None:
    assert set(KINDS) == set(Category)
