"""Traces as a data set: one row each, as JSON lines or Parquet. What the columns are is in docs/serve.md.

An export leaves this product's hands: forgetting does not reach it. Texts are as they are kept, redacted where the
settings said so when they were recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from io import BytesIO
from typing import Any


class Form(StrEnum):
    """The forms in which traces can be taken out."""

    JSONL = "jsonl"
    PARQUET = "parquet"


MEDIA_TYPES = {Form.JSONL: "application/jsonl", Form.PARQUET: "application/vnd.apache.parquet"}


def encoded(rows: Sequence[Mapping[str, Any]], form: Form) -> bytes:
    """The rows as the content of one file."""
    return _parquet(rows) if form is Form.PARQUET else _lines(rows)


def _lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows).encode()


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import polars as pl

    passage = pl.Struct(
        {
            "label": pl.Int32,
            "cited": pl.Boolean,
            "document_id": pl.String,
            "revision_id": pl.String,
            "start": pl.Int32,
            "end": pl.Int32,
            "score": pl.Float64,
            "text": pl.String,
        }
    )
    schema: dict[str, Any] = {
        **dict.fromkeys(("trace_id", "kind", "parent_id", "question", "instruction", "answer", "texts"), pl.String),
        **dict.fromkeys(("outcome", "error", "prompt_version", "model", "engine", "adapter_id"), pl.String),
        **dict.fromkeys(
            ("dataset_version", "cached_from", "retrieval", "filters", "timings", "verdict", "edited"), pl.String
        ),
        "at": pl.Datetime("us", "UTC"),
        "queries": pl.List(pl.String),
        **dict.fromkeys(("seconds", "first_token_seconds", "cost"), pl.Float64),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), pl.Int64),
        "passages": pl.List(passage),
    }
    plain = [
        {
            **row,
            **{
                name: None if row[name] is None else str(row[name]) for name in ("trace_id", "parent_id", "cached_from")
            },
            # What it holds differs from row to row: as JSON the file has one shape.
            **{name: json.dumps(row[name]) for name in ("filters", "timings")},
        }
        for row in rows
    ]
    # The order of the columns is that of the rows, which is that of the docs.
    names = list(rows[0]) if rows else list(schema)
    buffer = BytesIO()
    pl.DataFrame(plain, schema={name: schema[name] for name in names}).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
