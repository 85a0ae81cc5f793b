"""Pairs: the author's passage against what a model wrote for the same prompt, or what a person said of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.datasets.scenario import Writer, article, prose
from tests.models.chat_server import ChatServer
from twin_core.datasets import preferences
from twin_core.datasets.measures import Verdict
from twin_core.datasets.preferences import build_preference, fitted, objection
from twin_core.datasets.versions import Built
from twin_core.errors import NothingToPublish, TwinError
from twin_core.records import Example, ExampleKind, Split
from twin_core.store import datasets as store
from twin_core.store.feedback import give_feedback
from twin_core.training import launch
from twin_core.training.config import load_config
from twin_core.training.process import run_job

MANY = [article(number) for number in range(12)]


@pytest.fixture
def model() -> Iterator[ChatServer]:
    server = ChatServer(words=(prose(9_000),))
    server.start()
    yield server
    server.stop()


def prefer(writer: Writer, model: ChatServer | None = None, **settings: object) -> Built:
    server = {} if model is None else {"llm_url": model.url, "llm_engine": "vllm", "llm_model": "base"}
    writer.settings = writer.settings.model_copy(update={**server, "dataset_instructions": "rules", **settings})
    return build_preference(
        writer.database,
        writer.author,
        settings=writer.settings,
        validate=lambda measures: Verdict(passed=True, findings=(), report=""),
    )


def pairs(writer: Writer, built: Built) -> list[Example]:
    with writer.database.transaction() as conn:
        return store.examples_of(conn, built.version.id)


def test_the_authors_passage_is_preferred_to_what_a_model_wrote_for_the_same_prompt(
    writer: Writer, model: ChatServer
) -> None:
    writer.write(*MANY)
    instruct = writer.build()
    built = prefer(writer, model)
    with writer.database.transaction() as conn:
        taught = {one.document_id: one for one in store.examples_of(conn, instruct.version.id)}
        sides = store.members_of(conn, instruct.version.id), store.members_of(conn, built.version.id)
    made = pairs(writer, built)
    assert len(made) == 12
    for one in made:
        twin = taught[one.document_id]
        assert (one.prompt, one.answer, one.rejected) == (twin.prompt, twin.answer, prose(9_000))
        assert sides[1][one.id] == sides[0][twin.id]
    assert model.requests[0]["messages"][-1]["content"] in {one.prompt[-1][1] for one in made}


def test_answers_are_asked_for_once_and_of_every_named_model(writer: Writer, model: ChatServer) -> None:
    writer.write(*MANY)
    writer.build()
    first = prefer(writer, model)
    assert first.counts["answers asked"] == len(model.requests) == 12
    assert not prefer(writer, model).new
    more = prefer(writer, model, dataset_rejected_models=["base", "adapter-1"])
    assert more.counts["answers asked"] == 12
    assert {one["model"] for one in model.requests} == {"base", "adapter-1"}


def test_a_longer_answer_is_cut_at_a_sentence_and_a_shorter_one_is_no_pair(writer: Writer, model: ChatServer) -> None:
    assert fitted("One two three. Four five six. Seven eight nine.", 5) == "One two three. Four five six."
    assert fitted("One two three.", 5) == "One two three."
    assert objection("a b c d e f g h", "one two three four five") == preferences.LENGTH
    assert objection("a b c d e f g h", "a b c d e f g h") == preferences.SAME
    assert objection("a b c d e f g h", "i j k l m n o p") is None
    writer.write(*MANY)
    writer.build()
    model.words = ("Too short.",)
    with pytest.raises(NothingToPublish, match="12 the model's answer differs in length"):
        prefer(writer, model)


def test_when_the_asking_stops_before_a_pair_is_made_it_is_said_why(writer: Writer, model: ChatServer) -> None:
    writer.write(*MANY)
    writer.build()
    model.fault = "html"
    with pytest.raises(NothingToPublish, match="The asking stopped: .*does not speak the chat protocol"):
        prefer(writer, model)


def test_the_local_server_is_asked_one_question_at_a_time(writer: Writer, model: ChatServer) -> None:
    writer.write(*MANY)
    writer.build()
    model.engine = "transformers"
    model.pause = 0.3
    # Eight at once would wait for each other's answers and give up: this server takes them in turn.
    built = prefer(writer, model, llm_engine="transformers")
    assert built.counts["answers kept"] + built.counts["answers asked"] == 12
    assert model.most_at_once == 1
    assert prefer(writer, model, dataset_rejected_models=["other"]).counts["answers asked"] == 12
    assert model.most_at_once > 1


def test_pairs_of_one_document_are_capped(writer: Writer, model: ChatServer) -> None:
    sections = "\n\n".join(f"## Part {number}\n\n{prose(600 + number, 20)}" for number in range(6))
    writer.write(article(100, sections, day=0), *MANY)
    writer.build()
    model.words = (prose(9_000, 20),)
    built = prefer(writer, model, dataset_pairs_per_document=2)
    of = [one.document_id for one in pairs(writer, built)]
    assert of.count(writer.document_at("100.md")) == 2


def test_an_edit_is_preferred_to_the_answer_and_the_authors_passage_to_a_rejected_one(writer: Writer) -> None:
    writer.write(*MANY)
    writer.build()
    early = writer.document_at("0.md")
    (revision, written) = writer.rows(
        "SELECT revision_id, text FROM features.cleaned_documents WHERE document_id = :d", d=early
    )[0]
    with writer.database.transaction() as conn:
        for verdict, edited in (("up", "The harbour, as I would put it, is empty."), ("down", None)):
            trace = uuid4()
            conn.execute(
                text("""INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version)
                        VALUES (:id, :author, 'How is the harbour?', 'As an assistant, I hold it is empty.', 'answered', '1')"""),
                {"id": trace, "author": writer.author.id},
            )
            conn.execute(
                text("""INSERT INTO serving.trace_passages
                        (trace_id, author_id, label, chunk_id, document_id, revision_id, start_at, end_at, text, score)
                        VALUES (:id, :author, 1, gen_random_uuid(), :d, :r, 0, 60, :text, 1)"""),
                {"id": trace, "author": writer.author.id, "d": early, "r": revision, "text": str(written)[:60]},
            )
            give_feedback(conn, writer.author.id, trace, verdict=verdict, edited=edited)
    built = prefer(writer)
    made = {one.origin: one for one in pairs(writer, built)}
    assert made["edit"].answer == "The harbour, as I would put it, is empty."
    assert made["rejection"].answer == str(written)[:60]
    assert {one.rejected for one in made.values()} == {"As an assistant, I hold it is empty."}
    assert made["edit"].prompt[-1][1].endswith("Question: How is the harbour?")


def test_without_an_instruction_set_or_anything_to_compare_there_is_nothing_to_publish(writer: Writer) -> None:
    writer.write(*MANY)
    with pytest.raises(NothingToPublish, match="twin dataset build"):
        prefer(writer)
    writer.build()
    with pytest.raises(NothingToPublish, match="no language model is there to ask"):
        prefer(writer)
    with writer.database.transaction() as conn:
        assert store.current_version(conn, writer.author.id, ExampleKind.PREFERENCE) is None
        assert Split.TRAIN in store.members_of(conn, store.list_versions(conn, writer.author.id)[0].id).values()


def test_without_a_server_the_base_and_the_newest_adapter_write_what_is_rejected(writer: Writer, base: str) -> None:
    writer.write(*MANY)
    instruct = writer.build()
    own = {
        "dataset_rejected_models": ["local:base", "local:adapter"],
        "base_model": base,
        "dataset_pairs": 6,
        "mlflow_url": "off",
    }
    first = prefer(writer, **own)
    made = pairs(writer, first)
    assert first.counts["models"] == 1, "as long as there is no adapter, it is the base"
    assert first.counts["answers asked"] == 6
    assert len(made) > 0
    assert all(one.rejected and one.rejected != one.answer for one in made)
    assert all(abs(len(one.rejected.split()) - one.words) < one.words for one in made if one.rejected)
    assert not prefer(writer, **own).new

    config = load_config("tiny", {"base": base, "max_steps": 2, "learning_rate": 0.02})
    job = launch.open_job(
        writer.database, writer.author, "sft", config, settings=writer.settings, dataset=instruct.version.id
    )
    adapter = run_job(writer.database, job, here=writer.settings, tell=lambda _: None)
    second = prefer(writer, **own)
    assert second.counts["answers kept"] == 6
    assert second.counts["answers asked"] == 6
    assert set(second.version.manifest["models"]) == {f"base {Path(base).name}", f"adapter {adapter.id[:12]}"}


def test_a_base_that_cannot_be_loaded_is_named(writer: Writer) -> None:
    writer.write(*MANY)
    writer.build()
    with pytest.raises(TwinError, match="nowhere"):
        prefer(writer, dataset_rejected_models=["local:base"], base_model="/nowhere/at/all", dataset_pairs=2)
