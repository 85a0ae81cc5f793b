"""What a passage is said to answer: by rule, and by a model that is checked, told what was wrong, and asked once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.datasets.scenario import Writer, article, prose
from tests.models.chat_server import ChatServer
from twin_core.datasets import instructions
from twin_core.datasets.instructions import by_rule, key_phrases, signature_of
from twin_core.datasets.passages import sections
from twin_core.datasets.versions import Built
from twin_core.records import Category, CleanedDocument, ExampleKind
from twin_core.store import datasets as store


def document(
    text: str, *, category: Category = Category.ARTICLE, title: str = "Tides", language: str = "en"
) -> CleanedDocument:
    return CleanedDocument(
        document_id=UUID(int=1), revision_id=UUID(int=2), author_id=UUID(int=3), category=category, title=title,
        text=text, text_hash="", language=language, words=1, location="/a", written_at=None,
    )  # fmt: skip


def test_an_article_is_asked_for_by_title_and_its_parts_by_heading() -> None:
    (whole,) = sections(document(f"# Tides\n\n{prose(1)}"))
    assert by_rule(whole).instruction == "Write an article titled “Tides”."
    assert by_rule(whole).answer == prose(1)
    long = f"# Tides\n\n{prose(1, 20)}\n\n## Springs\n\n{prose(2, 20)}\n\n## Neaps\n\n{prose(3, 20)}"
    asked = [by_rule(one) for one in sections(document(long))]
    assert [one.instruction for one in asked] == [
        "Write the opening of an article titled “Tides”.",
        "Write the section “Springs” of an article titled “Tides”.",
        "Write the section “Neaps” of an article titled “Tides”.",
    ]
    assert [one.answer for one in asked] == [prose(1, 20), prose(2, 20), prose(3, 20)]


def test_what_follows_without_a_heading_is_a_continuation_of_its_first_sentence() -> None:
    parts = [prose(number, 18) for number in range(3)]
    drafts = [by_rule(one) for one in sections(document("\n\n".join(parts)))]
    assert drafts[1].instruction.startswith("Continue this article titled “Tides”:\n\nI ")
    assert not drafts[1].instruction.endswith(drafts[1].answer[:20])
    first = drafts[1].instruction.partition("\n\n")[2]
    assert f"{first} {drafts[1].answer}" in "\n\n".join(parts)


def test_a_post_is_asked_for_by_what_it_is_about() -> None:
    text = "The harbour froze. A frozen harbour means no lobsters, and lobsters pay the mortgage."
    assert by_rule(sections(document(text, category=Category.POST))[0]).instruction == (
        "Write a post about harbour, frozen, lobsters and mortgage."
    )
    assert key_phrases("潮水来了，潮水又走了。") == ["潮水"]


@pytest.mark.parametrize(
    ("language", "code", "signature"),
    [
        ("python", 'def tide(day: int, port: str = "W") -> int:\n    """When it turns."""\n    return day\n',
         'def tide(day: int, port: str = "W") -> int:\n    """When it turns."""\n'),
        ("python", "@cached\nasync def tide(\n    day,\n):\n    return day\n", "@cached\nasync def tide(\n    day,\n):\n"),
        ("javascript", "function tide(day) {\n  return day;\n}\n", "function tide(day) {\n"),
        ("go", "func Tide(day int) (int, error) {\n\treturn day, nil\n}\n", "func Tide(day int) (int, error) {\n"),
        ("sql", "SELECT 1", ""),
    ],
)  # fmt: skip
def test_a_signature_is_what_comes_before_the_body(language: str, code: str, signature: str) -> None:
    assert signature_of(code, language) == signature


def test_code_is_asked_for_by_signature_and_docstring() -> None:
    code = 'def tide(day):\n    """When it turns."""\n    hour = day * 2\n    return hour % 24\n'
    (section,) = sections(document(code, category=Category.CODE, title="tide.py", language="python"))
    draft = by_rule(section)
    assert draft.instruction == (
        'Write the body of `tide` (python, `tide.py`):\n\n```python\ndef tide(day):\n    """When it turns."""\n```'
    )
    assert draft.answer == "    hour = day * 2\n    return hour % 24"


@pytest.fixture
def model() -> Iterator[ChatServer]:
    server = ChatServer()
    server.start()
    yield server
    server.stop()


def ask_with(writer: Writer, model: ChatServer) -> Built:
    writer.settings = writer.settings.model_copy(
        update={"llm_url": model.url, "llm_engine": "vllm", "llm_model": "small", "dataset_context_passages": 0}
    )
    return writer.build()


def saying(instruction: str) -> tuple[str, ...]:
    return (json.dumps({"instruction": instruction}),)


def test_a_model_is_asked_for_the_instruction_alone_and_only_once(writer: Writer, model: ChatServer) -> None:
    model.words = saying("Tell what your mornings at the harbour are like, in plain words.")
    writer.write(*(article(number) for number in range(12)))
    built = ask_with(writer, model)
    assert built.counts["instructions asked"] == len(model.requests) == 12
    assert model.requests[0]["response_format"]["json_schema"]["schema"]["required"] == ["instruction"]
    with writer.database.transaction() as conn:
        made = store.examples_of(conn, built.version.id)
    assert {one.origin for one in made} == {"llm"}
    assert all(one.answer.startswith("I ") for one in made)
    assert built.version.manifest["models"] == {"small": 12}

    writer.write(*(article(number) for number in range(13)))
    again = ask_with(writer, model)
    assert again.counts["instructions asked"] == 1
    assert again.counts["instructions kept"] == 12
    assert len(model.requests) == 13


@pytest.mark.parametrize(
    "said",
    [
        "no JSON at all",
        '{"task": "Write of the harbour and its mornings."}',
        json.dumps({"instruction": "Write."}),
        json.dumps({"instruction": "Summarise what the text says of harbours."}),
        json.dumps({"instruction": f"Write this: {' '.join(prose(0).split()[:12])}"}),
    ],
)
def test_an_answer_that_is_no_instruction_is_refused_twice_more_and_then_made_by_rule(
    writer: Writer, model: ChatServer, said: str
) -> None:
    model.words = (said,)
    writer.write(*(article(number) for number in range(8)))
    built = ask_with(writer, model)
    with writer.database.transaction() as conn:
        made = {one.document_id: one for one in store.examples_of(conn, built.version.id)}
        kept = store.kept_answers(conn, writer.author.id, instructions.PURPOSE)
    first = writer.document_at("0.md")
    assert made[first].origin == "rule"
    assert next(one for (of, _), one in kept.items() if of == first).reason == instructions.UNUSABLE
    asked = [one for one in model.requests if prose(0)[:60] in one["messages"][1]["content"]]
    assert [len(one["messages"]) for one in asked] == [2, 4, 4]
    assert "cannot be used" in asked[1]["messages"][-1]["content"]


def test_a_model_that_falls_silent_leaves_the_rest_to_rules_until_the_next_build(
    writer: Writer, model: ChatServer
) -> None:
    model.words = saying("Tell what your mornings at the harbour are like, in plain words.")
    writer.write(*(article(number) for number in range(12)))
    model.faults = [None] * 8 + ["reset"] * 4
    model.words = ("{", ' "instruction":', ' "Tell what your mornings at the harbour are like." }')
    first = ask_with(writer, model)
    assert first.trouble is not None
    assert first.counts["instructions unanswered"] == 4
    model.faults = []
    second = ask_with(writer, model)
    assert second.counts["instructions asked"] == 4
    assert second.version.manifest["by_origin"].keys() == {"llm"}
    assert second.version.kind == ExampleKind.INSTRUCT
