"""Ranking anew, with a real cross-encoder out of a folder: its order, its time, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from time import monotonic
from uuid import UUID

import pytest

from twin_core.errors import ServiceUnavailable
from twin_core.records import Category, Passage
from twin_core.retrieval import rerank as reranking
from twin_core.retrieval.rerank import MOST, rerank
from twin_core.settings import Settings


def passage(number: int, text: str) -> Passage:
    nothing = UUID(int=number)
    return Passage(
        chunk_id=nothing, document_id=nothing, revision_id=nothing, category=Category.ARTICLE, title="", location="",
        context="", text=text, start=0, end=len(text), written_at=None, score=1 - number / 100, legs={"dense": number + 1},
    )  # fmt: skip


TEXTS = ["harbour rope", "tide lamp", "bread answer", "queue lamp", "lamp rope answer"]
PASSAGES = [passage(number, text) for number, text in enumerate(TEXTS)]


def settings(model: str, **more: object) -> Settings:
    return Settings(rerank_model=model, _env_file=None, **more)


def test_what_answers_comes_first_and_takes_the_scores_of_its_place(cross_encoder: str) -> None:
    found = rerank("question", PASSAGES, settings(cross_encoder, rerank_seconds=60))
    assert found.notice is None
    assert {one.text for one in found.passages[:2]} == {"bread answer", "lamp rope answer"}
    assert [one.score for one in found.passages] == [one.score for one in PASSAGES]
    assert [one.legs["rerank"] for one in found.passages] == [1, 2, 3, 4, 5]
    assert found.passages[0].legs["dense"] in (3, 5)


def test_no_more_than_twenty_are_read_and_the_rest_stays_behind_them(cross_encoder: str) -> None:
    many = [passage(number, "tide lamp") for number in range(MOST + 4)] + [passage(MOST + 4, "an answer")]
    found = rerank("question", many, settings(cross_encoder, rerank_seconds=60)).passages
    assert found[MOST:] == many[MOST:]
    assert {one.chunk_id for one in found} == {one.chunk_id for one in many}


def test_out_of_time_the_passages_keep_their_order_and_it_is_said(cross_encoder: str) -> None:
    rerank("question", PASSAGES, settings(cross_encoder, rerank_seconds=60))  # loaded before: loading is not counted
    found = rerank("question", PASSAGES, settings(cross_encoder, rerank_seconds=1e-9))
    assert found.passages == PASSAGES
    assert "TWIN_RERANK_SECONDS" in str(found.notice)


def test_a_process_loads_a_model_once(cross_encoder: str) -> None:
    rerank("question", PASSAGES, settings(cross_encoder))
    first = reranking._load(cross_encoder)
    assert isinstance(first, reranking.Reranker)
    assert reranking._load(cross_encoder) is first


def test_a_folder_without_a_model_is_named_with_what_to_do(tmp_path: Path) -> None:
    found = rerank("question", PASSAGES, settings(str(tmp_path / "none")))
    assert found.passages == PASSAGES
    assert str(tmp_path / "none") in str(found.notice)
    assert "TWIN_RERANK_MODEL" in str(found.notice)


def test_a_model_that_does_not_come_is_waited_for_once_and_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    came = Event()

    def slow(name: str) -> None:
        came.wait(30)
        raise ServiceUnavailable("the hub does not answer")

    monkeypatch.setattr(reranking, "LOADING_SECONDS", 0.2)
    monkeypatch.setattr(reranking, "_network", slow)
    hub = settings("a-hub/a-model")
    found = rerank("question", PASSAGES, hub)
    assert found.passages == PASSAGES
    assert "a-hub/a-model is still being loaded" in str(found.notice)
    began = monotonic()
    rerank("question", PASSAGES, hub)
    assert monotonic() - began < 0.15, "the second request waits for nothing"
    came.set()
    reranking._loads["a-hub/a-model"].done.result(30)
    assert "cannot be loaded (the hub does not answer)" in str(rerank("question", PASSAGES, hub).notice)


def test_no_model_named_means_no_ranking_anew_and_no_notice() -> None:
    found = rerank("question", PASSAGES, settings(""))
    assert (found.passages, found.notice) == (PASSAGES, None)
