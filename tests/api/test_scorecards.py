"""What a decision rests on, by the API: figures, the report, and samples that are compared without knowing whose they are."""

from __future__ import annotations

from uuid import UUID, uuid4

import httpx2
import pytest

from tests.api.conftest import Api
from tests.api.scenario import with_report
from tests.champion.scenario import Bench
from twin_core.evaluation.samples import Sample
from twin_core.settings import Settings
from twin_core.store.adapters import Adapter

PAIRS = [Sample(prompt=f"Write about tide {n}.", challenger=f"mine {n}", other=f"theirs {n}") for n in range(1, 7)]


@pytest.fixture
def bench(api: Api, settings: Settings) -> Bench:
    return Bench(api.database, settings, slug="ann")


@pytest.fixture
def measured(bench: Bench, settings: Settings) -> Adapter:
    """An adapter with an evaluation, its report and six samples."""
    return with_report(bench, settings, PAIRS)


@pytest.fixture
def writer(api: Api, bench: Bench) -> httpx2.Client:
    return api.client(api.new_key(bench.author, "write").secret)


def test_the_scorecard_has_differences_with_intervals_and_the_report_runs_nothing(
    bench: Bench, measured: Adapter, writer: httpx2.Client
) -> None:
    shown = writer.get(f"/v1/adapters/{measured.id}/scorecard").json()
    assert (shown["version"], shown["documents"], shown["champion_version"], shown["samples"]) == (1, 60, None, 6)
    assert shown["against"]["base"]["style"] == {"mean": 0.4, "low": 0.2, "high": 0.6}
    assert shown["margins"]["safety"] <= 0
    report = writer.get(f"/v1/adapters/{measured.id}/report")
    assert report.text == "<h1>Report</h1>"
    assert "sandbox" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]
    never = bench.adapter("two")
    assert [
        writer.get(f"/v1/adapters/{never.id}/{what}").status_code for what in ("scorecard", "report", "samples")
    ] == [404] * 3


def test_samples_stand_on_sides_that_say_nothing_and_votes_are_counted_for_who_wrote_them(
    measured: Adapter, writer: httpx2.Client
) -> None:
    shown = writer.get(f"/v1/adapters/{measured.id}/samples").json()
    sides = ["left" if one["left"].startswith("mine") else "right" for one in shown["samples"]]
    assert [{one["left"], one["right"]} for one in shown["samples"]] == [{one.challenger, one.other} for one in PAIRS]
    assert {one["better"] for one in shown["samples"]} == {None}

    def vote(sample: int, better: str) -> dict[str, int]:
        asked = {"evaluation_id": shown["evaluation_id"], "sample": sample, "better": better}
        answer = writer.post(f"/v1/adapters/{measured.id}/votes", json=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    vote(1, sides[0])
    vote(2, "left" if sides[1] == "right" else "right")
    vote(3, sides[2])
    assert vote(3, "neither") == {"challenger": 1, "other": 1, "neither": 1}
    again = writer.get(f"/v1/adapters/{measured.id}/samples").json()["samples"]
    assert [one["better"] for one in again[:4]] == [
        sides[0],
        "right" if sides[1] == "left" else "left",
        "neither",
        None,
    ]
    assert writer.get(f"/v1/adapters/{measured.id}/scorecard").json()["votes"]["challenger"] == 1


def test_which_side_is_whose_differs_from_evaluation_to_evaluation() -> None:
    from twin_core.evaluation.samples import challenger_is_left

    left = [challenger_is_left(UUID(int=number), 1) for number in range(400)]
    assert 150 < sum(left) < 250


def test_votes_on_what_is_not_there_and_by_others_are_refused(
    api: Api, measured: Adapter, writer: httpx2.Client
) -> None:
    evaluation = writer.get(f"/v1/adapters/{measured.id}/samples").json()["evaluation_id"]
    path = f"/v1/adapters/{measured.id}/votes"
    assert writer.post(path, json={"evaluation_id": evaluation, "sample": 7, "better": "left"}).status_code == 400
    assert writer.post(path, json={"evaluation_id": str(uuid4()), "sample": 1, "better": "left"}).status_code == 404
    vote = {"evaluation_id": evaluation, "sample": 1, "better": "left"}
    with api.client(api.new_key(api.mallory, "admin").secret) as mallory:
        assert mallory.post(path, json=vote).status_code == 404
        assert [
            mallory.get(f"/v1/adapters/{measured.id}/{what}").status_code for what in ("scorecard", "report", "samples")
        ] == [404] * 3
    assert writer.get(f"/v1/adapters/{measured.id}/scorecard").json()["votes"] == {
        "challenger": 0,
        "other": 0,
        "neither": 0,
    }
