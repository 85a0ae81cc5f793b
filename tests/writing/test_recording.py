"""How much of an answer is kept: whole, redacted, a sample; and what it cost."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from twin_core.settings import Settings
from twin_core.store.traces import Trace, TraceLink, TracePassage
from twin_core.writing.recording import as_kept, cost_of, kept_edit

PRIVATE = "Ask Joan at joan@harbour-office.com."
CLEAN = "Ask Joan at <EMAIL>."


def settings(**changed: object) -> Settings:
    return Settings(_env_file=None, **changed)


def trace() -> Trace:
    return Trace(
        id=uuid4(),
        author_id=UUID(int=1),
        question=PRIVATE,
        answer=PRIVATE,
        outcome="failed",
        prompt_version="1",
        model="m",
        timings={"total": 1.5},
        usage={"prompt_tokens": 3, "completion_tokens": 2},
        error=PRIVATE,
        instruction=PRIVATE,
        queries=(PRIVATE,),
        filters={"categories": ["post"]},
        passages=[
            TracePassage(
                label=1,
                chunk_id=UUID(int=2),
                document_id=UUID(int=3),
                revision_id=UUID(int=4),
                start=0,
                end=36,
                text=PRIVATE,
                score=1,
                cited=True,
            )
        ],
        links=[
            TraceLink(label=2, url="u", title=PRIVATE, text=PRIVATE, characters=9, written_at=None, cited=False),
        ],
    )


def texts_of(kept: Trace) -> set[str | None]:
    linked = {part for link in kept.links for part in (link.title, link.text)}
    passages = {one.text for one in kept.passages}
    return {kept.question, kept.answer, kept.error, kept.instruction, *kept.queries, *passages, *linked}


def test_a_trace_is_kept_whole_unless_the_settings_say_otherwise() -> None:
    assert as_kept(given := trace(), settings()) is given


def test_redaction_reaches_every_text_of_a_trace_and_nothing_else() -> None:
    given = trace()
    kept = as_kept(given, settings(trace_redact=True))
    assert texts_of(kept) == {CLEAN}
    assert kept.texts == "redacted"
    assert (kept.timings, kept.usage, kept.filters, kept.passages[0].end) == (
        given.timings, given.usage, given.filters, 36,
    )  # fmt: skip
    assert kept_edit(PRIVATE, settings(trace_redact=True)) == CLEAN
    assert kept_edit(PRIVATE, settings()) == PRIVATE


def test_what_the_author_has_made_public_stays() -> None:
    mine = settings(trace_redact=True, dataset_keep=["joan@harbour-office.com"])
    assert texts_of(as_kept(trace(), mine)) == {PRIVATE}


def test_outside_the_sample_ids_and_figures_are_kept_and_no_text() -> None:
    given = trace()
    kept = as_kept(given, settings(trace_texts=0.0, trace_redact=True))
    assert texts_of(kept) == {"", None}
    assert (kept.texts, kept.outcome, kept.timings, kept.usage) == ("dropped", "failed", given.timings, given.usage)
    assert (kept.passages[0].document_id, kept.passages[0].cited) == (UUID(int=3), True)


def test_the_sample_is_the_share_that_was_asked_for() -> None:
    kept = sum(as_kept(trace(), settings(trace_texts=0.25)).texts == "whole" for _ in range(2_000))
    assert 420 <= kept <= 580, "four standard deviations around 500"


@pytest.mark.parametrize(
    ("usage", "cost"), [({}, None), ({"prompt_tokens": 1_000_000, "completion_tokens": 500}, 0.31)]
)
def test_tokens_cost_what_a_million_of_them_costs(usage: dict[str, int], cost: float | None) -> None:
    found = cost_of(usage, settings(llm_price_prompt=0.30, llm_price_completion=20.0))
    assert found == (None if cost is None else pytest.approx(cost))
