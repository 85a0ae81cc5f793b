"""Exports: what was in the version is in the file, in the shape that the other tool reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import frontmatter
import polars as pl
import pytest

from tests.conftest import free_port
from tests.datasets.hub import TOKEN, Hub
from twin_core.datasets.exports import alpaca_row, encoded, push_to_hub, trl_row, with_data_files, write_export
from twin_core.errors import InvalidInput, Refused, ServiceUnavailable
from twin_core.records import Split
from twin_core.settings import Settings

VERSION = "ab" * 32
CARD = "---\nlanguage: en\n---\n\n# A dataset\n"


def rows(count: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"e{number}",
            "kind": "instruct",
            "split": "test" if number == count - 1 else "train",
            "prompt": [
                {"role": "system", "content": "You write."},
                {"role": "user", "content": f"On knot {number}?\n– żółć"},
            ],
            "completion": f'Knot {number} is\na "decision".\u2028End.',
            "language": "en",
        }
        for number in range(count)
    ]


def instruct(count: int = 4) -> pl.DataFrame:
    return pl.DataFrame(rows(count))


def preference() -> pl.DataFrame:
    return (
        instruct()
        .rename({"completion": "chosen"})
        .with_columns(rejected=pl.lit("Knots are useful."), kind=pl.lit("preference"))
    )


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().split("\n") if line]


def test_trl_takes_conversations() -> None:
    first, row = lines(encoded(instruct(), "trl"))[0], rows()[0]
    assert first == {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": row["completion"]}]}
    pair = lines(encoded(preference(), "trl"))[0]
    assert set(pair) == {"prompt", "chosen", "rejected"}
    assert pair["rejected"] == [{"role": "assistant", "content": "Knots are useful."}]


@pytest.mark.slow
def test_trls_own_code_reads_them_as_conversations() -> None:
    data_utils = pytest.importorskip("trl.data_utils")
    for frame in (instruct(), preference()):
        assert data_utils.is_conversational(trl_row(frame.row(0, named=True)))


def test_alpaca_has_instruction_input_output() -> None:
    row = rows()[0]
    assert lines(encoded(instruct(), "alpaca"))[0] == {
        "instruction": row["prompt"][1]["content"],
        "input": "",
        "output": row["completion"],
        "system": "You write.",
    }
    assert set(alpaca_row(preference().row(0, named=True))) == {"instruction", "input", "chosen", "rejected", "system"}


def test_parquet_comes_back_as_the_same_frame() -> None:
    for frame in (instruct(), preference()):
        assert pl.read_parquet(BytesIO(encoded(frame, "parquet"))).equals(frame)


@pytest.mark.parametrize("shape", ["parquet", "trl", "alpaca"])
def test_one_file_per_split_and_the_same_bytes_every_time(tmp_path: Path, shape: Any) -> None:
    places = write_export(instruct(), tmp_path / "out", shape)
    again = write_export(instruct(), tmp_path / "again", shape)
    assert [place.stem for place in places] == ["train", "test"]
    assert [place.read_bytes() for place in places] == [place.read_bytes() for place in again]
    held = [pl.read_parquet(place).height if shape == "parquet" else len(lines(place.read_bytes())) for place in places]
    assert held == [3, 1]


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("mine")
    with pytest.raises(InvalidInput, match=r"test\.jsonl"):
        write_export(instruct(), tmp_path, "trl")
    assert [place.name for place in tmp_path.iterdir()] == ["test.jsonl"]


def test_an_empty_version_and_an_unknown_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to export"):
        write_export(instruct().clear(), tmp_path / "out", "trl")
    with pytest.raises(InvalidInput, match="parquet, trl, alpaca"):
        write_export(instruct(), tmp_path / "out", "csv")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


# The Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()
    served.start()
    yield served
    served.stop()


def settings(hub: Hub, token: str | None = TOKEN) -> Settings:
    return Settings(hub_url=f"{hub.url}/", hub_token=token, _env_file=None)


def push(
    hub: Hub,
    frame: pl.DataFrame | None = None,
    name: str = "yard/knots",
    *,
    public: bool = False,
    token: str | None = TOKEN,
) -> str:
    return push_to_hub(
        instruct() if frame is None else frame,
        name,
        card=CARD,
        version_id=VERSION,
        settings=settings(hub, token),
        public=public,
    )


@pytest.mark.parametrize("lfs_above", [10_000_000, 100])
def test_a_push_is_one_commit_into_a_private_repository(hub: Hub, lfs_above: int) -> None:
    hub.lfs_above = lfs_above
    assert push(hub) == f"{hub.url}/datasets/yard/knots/commit/{'1' * 40}"
    there = hub.repositories["yard/knots"]
    assert there["private"]
    assert there["commits"] == ["Dataset version abababababab"]
    train = pl.read_parquet(BytesIO(there["files"]["data/train-00000-of-00001.parquet"]))
    assert train.equals(instruct().filter(pl.col("split") == "train"))
    assert set(there["files"]) == {"data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "README.md"}
    header = frontmatter.loads(there["files"]["README.md"].decode()).metadata
    assert header["language"] == "en"
    assert [one["split"] for one in header["configs"][0]["data_files"]] == ["train", "test"]


def test_the_next_version_goes_into_the_same_repository(hub: Hub) -> None:
    push(hub)
    push(hub, instruct(6))
    assert len(hub.repositories["yard/knots"]["commits"]) == 2
    assert (
        pl.read_parquet(BytesIO(hub.repositories["yard/knots"]["files"]["data/train-00000-of-00001.parquet"])).height
        == 5
    )


def test_a_public_repository_gets_nothing_unless_that_was_said(hub: Hub) -> None:
    hub.repositories["yard/knots"] = {"private": False, "files": {}, "commits": []}
    with pytest.raises(Refused, match="public"):
        push(hub)
    assert hub.repositories["yard/knots"]["files"] == {}
    assert not any("preupload" in asked or "lfs" in asked for asked in hub.requests)
    push(hub, public=True)
    push(hub, name="yard/open", public=True)
    assert not hub.repositories["yard/open"]["private"]


def test_without_a_token_nobody_is_asked(hub: Hub) -> None:
    with pytest.raises(InvalidInput, match="TWIN_HUB_TOKEN"):
        push(hub, token=None)
    with pytest.raises(InvalidInput, match="nothing to push"):
        push(hub, instruct().clear())
    assert hub.requests == []


def test_what_the_hub_says_is_said_in_words(hub: Hub) -> None:
    with pytest.raises(Refused, match="401"):
        push(hub, token="another")
    with pytest.raises(InvalidInput, match="no name of a repository"):
        push(hub, name="a/b/c")
    hub.broken = 400
    with pytest.raises(ServiceUnavailable, match="400"):
        push(hub)
    away = Hub(port=free_port())
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        push(away)


@pytest.mark.parametrize("card", [CARD, "# No header\n"])
def test_the_card_keeps_what_it_had(card: str) -> None:
    made = frontmatter.loads(with_data_files(card, [Split.TRAIN]))
    assert made.content == card.rsplit("---\n", maxsplit=1)[-1].strip()
    assert made["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
