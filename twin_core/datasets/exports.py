"""A dataset version in the shapes that other tools read: Parquet, JSON lines for TRL, JSON lines in Alpaca's shape, the Hub.

Everything starts from the frame that `store.datasets.read_version` returns. Nothing leaves the machine here but by
`push_to_hub`, which a person asks for by name, with a token that the settings hold, into a private repository unless
they say otherwise. What was pushed is out of forgetting's reach, and the card says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from twin_core.errors import InvalidInput, Refused, ServiceUnavailable
from twin_core.records import Split
from twin_core.settings import Settings

if TYPE_CHECKING:
    import polars as pl

Shape = Literal["parquet", "trl", "alpaca"]
SHAPES: tuple[Shape, ...] = ("parquet", "trl", "alpaca")

Row = Mapping[str, Any]


def trl_row(row: Row) -> dict[str, Any]:
    """A row as TRL's trainers take it: conversational prompt and completion, or prompt, chosen and rejected."""
    return {
        "prompt": [dict(turn) for turn in row["prompt"]],
        **{
            name: [{"role": "assistant", "content": row[name]}]
            for name in ("completion", "chosen", "rejected")
            if name in row
        },
    }


def alpaca_row(row: Row) -> dict[str, Any]:
    """A row as Alpaca's: instruction, input, output; beside it the system prompt, which the shape has no place for.

    Preferences have `chosen` and `rejected` instead of `output`, as the tools that extended the shape read them.
    """
    by_role = {
        role: "\n\n".join(turn["content"] for turn in row["prompt"] if turn["role"] == role)
        for role in ("system", "user")
    }
    answers = (
        {"output": row["completion"]} if "completion" in row else {name: row[name] for name in ("chosen", "rejected")}
    )
    return {"instruction": by_role["user"], "input": "", **answers, "system": by_role["system"]}


def encoded(frame: pl.DataFrame, shape: Shape) -> bytes:
    """The frame as the content of one file. The same frame gives the same bytes."""
    if shape == "parquet":
        return as_parquet(frame)
    made: Callable[[Row], dict[str, Any]] = trl_row if shape == "trl" else alpaca_row
    lines = (json.dumps(made(row), ensure_ascii=False) for row in frame.iter_rows(named=True))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def as_parquet(frame: pl.DataFrame) -> bytes:
    """The frame as Parquet."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def by_split(frame: pl.DataFrame) -> Iterator[tuple[Split, pl.DataFrame]]:
    """The splits that have rows, train first."""
    for split in (Split.TRAIN, Split.TEST):
        part = frame.filter(frame["split"] == split.value)
        if part.height:
            yield split, part


def write_export(frame: pl.DataFrame, folder: Path, shape: Shape) -> list[Path]:
    """Write one file per split into the folder, and return them. Raises InvalidInput rather than overwrite one."""
    if shape not in SHAPES:
        raise InvalidInput(f"There is no shape `{shape}`. Shapes are: {', '.join(SHAPES)}.")
    if not frame.height:
        raise InvalidInput("The dataset version has no examples left, so there is nothing to export.")
    ending = "parquet" if shape == "parquet" else "jsonl"
    parts = [(folder / f"{split.value}.{ending}", part) for split, part in by_split(frame)]
    taken = [place.name for place, _ in parts if place.exists()]
    if taken:
        raise InvalidInput(f"{folder} has {', '.join(taken)} already. Name another folder, or remove them first.")
    folder.mkdir(parents=True, exist_ok=True)
    for place, part in parts:
        place.write_bytes(encoded(part, shape))
    return [place for place, _ in parts]


_CONFIGS = """configs:
- config_name: default
  data_files:
"""


def push_to_hub(
    frame: pl.DataFrame, repository: str, *, card: str, version_id: str, settings: Settings, public: bool = False
) -> str:
    """Push the version as one commit to a dataset repository of the Hugging Face Hub, and return the commit's URL.

    The repository is made, private unless `public`, when it is not there. Raises Refused when it is there and public
    but `public` was not said, and when the Hub does not take the token; ServiceUnavailable when it does not answer.
    """
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if settings.hub_token is None:
        raise InvalidInput("Pushing needs a token of the Hub that may write: set TWIN_HUB_TOKEN.")
    parts = list(by_split(frame))
    if not parts:
        raise InvalidInput("The dataset version has no examples left, so there is nothing to push.")
    files = {f"data/{split.value}-00000-of-00001.parquet": as_parquet(part) for split, part in parts}
    files["README.md"] = with_data_files(card, [split for split, _ in parts]).encode()
    api = HfApi(endpoint=settings.hub_url.rstrip("/"), token=settings.hub_token.get_secret_value())
    try:
        api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
        if not public and not api.dataset_info(repository).private:
            raise Refused(
                f"{repository} is public, and its readers would see the author's texts. Nothing was pushed. Make it "
                f"private, name another one, or say --public."
            )
        # As streams: the Hub then takes them by plain HTTP, which every server that speaks its protocol does.
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=BytesIO(content)) for name, content in files.items()
        ]
        commit = api.create_commit(
            repository, operations, repo_type="dataset", commit_message=f"Dataset version {version_id[:12]}"
        )
    except HFValidationError as error:
        raise InvalidInput(
            f"`{repository}` is no name of a repository: it is `name` or `organisation/name`."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        where = urlsplit(settings.hub_url).netloc
        if status in {401, 403, 404}:
            raise Refused(
                f"{where} does not let this token write to {repository} ({status}). TWIN_HUB_TOKEN needs the right to "
                f"write there."
            ) from error
        raise ServiceUnavailable(f"{where} answers {status} to the push of {repository}. Try again.") from error
    except httpx2.HTTPError as error:
        raise ServiceUnavailable(f"{settings.hub_url} does not answer ({error}). Check TWIN_HUB_URL.") from error
    return str(commit.commit_url)


def with_data_files(card: str, splits: list[Split]) -> str:
    """The card with the lines that tell the Hub which file is which split, in front of what its header has."""
    lines = "".join(f"  - split: {split.value}\n    path: data/{split.value}-*.parquet\n" for split in splits)
    fence = "---\n"
    rest = card.removeprefix(fence) if card.startswith(fence) else f"{fence}\n{card}"
    return f"{fence}{_CONFIGS}{lines}{rest}"
