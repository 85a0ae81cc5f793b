"""What is handed to the trainer: cut at a boundary of the text, counted when it cannot be used."""

from __future__ import annotations

import polars as pl
import pytest

from tests.training.scenario import instruct, passages, preference
from twin_core.errors import InvalidInput
from twin_core.models.bases import load_tokenizer
from twin_core.training.rows import instruct_rows, preference_rows


@pytest.fixture(scope="module")
def tokenizer(base: str):
    return load_tokenizer(base)


def length(tokenizer, row) -> int:
    said = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
    return len(tokenizer(said, add_special_tokens=False)["input_ids"])


def test_what_fits_is_left_alone_and_counted(tokenizer):
    frame = instruct(passages("demo/articles")[:5])
    rows = instruct_rows(frame, tokenizer, 2048)
    assert [row["completion"][0]["content"] for row in rows.rows] == frame["completion"].to_list()
    assert (rows.cut, rows.left_out) == (0, 0)
    assert rows.tokens == sum(length(tokenizer, row) for row in rows.rows) > rows.answer_tokens > 0


def test_a_long_answer_ends_at_a_sentence_and_fits(tokenizer):
    whole = "One sentence about knots. " * 100
    rows = instruct_rows(instruct([("knots", whole.strip())]), tokenizer, 256)
    kept = rows.rows[0]["completion"][0]["content"]
    assert rows.cut == 1
    assert kept.endswith("knots.")
    assert whole.startswith(kept)
    assert 200 < length(tokenizer, rows.rows[0]) <= 256


def test_a_prompt_that_leaves_no_room_is_left_out_and_counted(tokenizer):
    frame = instruct([("a", "Fine."), ("b", "Fine too."), ("long " * 400, "No room.")])
    rows = instruct_rows(frame, tokenizer, 128)
    assert (len(rows.rows), rows.left_out, len(rows.ids)) == (2, 1, 2)


def test_a_setting_under_which_most_rows_are_lost_is_refused(tokenizer):
    with pytest.raises(InvalidInput, match="Raise `max_length`"):
        instruct_rows(instruct([("long " * 400, "No room."), ("longer " * 400, "None.")]), tokenizer, 128)


def test_no_rows_at_all_are_refused(tokenizer):
    with pytest.raises(InvalidInput, match="twin dataset build"):
        instruct_rows(instruct([]), tokenizer, 128)


def test_a_pair_is_cut_on_both_sides_or_left_out(tokenizer):
    frame = preference([("knots", "A sentence of mine. " * 60), ("ropes", "Short.")], ["A sentence of theirs. " * 60])
    rows = preference_rows(frame, tokenizer, 200)
    for row in rows.rows:
        for side in ("chosen", "rejected"):
            assert length(tokenizer, {"prompt": row["prompt"], "completion": row[side]}) <= 200
    assert rows.cut == 2
    same = frame.with_columns(pl.col("chosen").alias("rejected"))
    with pytest.raises(InvalidInput):
        preference_rows(same, tokenizer, 200)
