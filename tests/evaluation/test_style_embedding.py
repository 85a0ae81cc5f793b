"""The style embedding with a model that was made on the spot: loaded by name, measured beside the others, refused when it is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.scenario import CASES, GROUNDED, answers, card, demo_documents, ruler
from twin_core.errors import InvalidInput, TwinError
from twin_core.evaluation.optional_axes import optional_axes
from twin_core.evaluation.report import markdown
from twin_core.evaluation.scorecard import Scorecard, scorecard
from twin_core.evaluation.style_embedding import StyleEmbedding, closeness, style_embedding
from twin_core.promotion import AUTHOR
from twin_core.settings import Settings

TRAINING = ["\n\n".join(document) for document in demo_documents()[::2]]


def with_model(name: str) -> Settings:
    return Settings(style_model=name, embedding_dtype="float32", _env_file=None)


@pytest.fixture(scope="module")
def own(style_model: str) -> StyleEmbedding:
    found = style_embedding(with_model(style_model), TRAINING)
    assert found is not None
    return found


def beside(style_model: str, base: Scorecard) -> Scorecard:
    return optional_axes(with_model(style_model), TRAINING).beside(base)[0]


def test_it_stands_beside_the_others_and_changes_no_difference(style_model: str) -> None:
    found, notes = optional_axes(with_model(style_model), TRAINING).beside(card())
    assert all(0.9 < one.mean("style_embedding") <= 1 for one in found.systems.values())
    assert found.against == card().against
    (said,) = notes
    assert said.startswith("Style embedding: of-manner-")
    assert said.endswith(f", cosine with the centroid of {_pieces()} of the author's training texts.")
    assert "| style embedding, cosine with the author's centroid (not gated) |" in markdown(found)


def test_whoever_writes_as_the_author_does_is_nearer_and_the_author_is_the_ceiling() -> None:
    # The packaged model sees what a text is about more than its manner: enough to tell a manual from the author.
    found = beside("all-MiniLM-L6-v2", card())
    means = {name: one.mean("style_embedding") for name, one in found.systems.items()}
    assert means["base"] < means["twin"] - 0.05
    assert means["base"] < means[AUTHOR] - 0.05


def _pieces() -> int:
    return sum(len(paragraph.split()) for text in demo_documents()[::2] for paragraph in text) // 120


def test_off_unless_named(style_model: str) -> None:
    found, notes = optional_axes(Settings(_env_file=None), TRAINING).beside(card())
    assert notes == []
    assert found == card()
    assert "style embedding" not in markdown(found)


def test_only_prose_is_read_and_labels_do_not_count(own: StyleEmbedding) -> None:
    text = answers()["twin"][0].removesuffix(GROUNDED)
    dressed = (
        f"# A heading\n\n{text} [2]\n\n```python\nprint('hello')\n```\n\n> Somebody else said so, at some length.\n"
    )
    plain, marked = closeness([text, dressed], own, counts=[True, True])
    assert marked == pytest.approx(plain, abs=1e-6)


def test_a_prompt_whose_author_wrote_too_little_counts_for_nobody_and_saying_little_gains_nothing(
    style_model: str,
) -> None:
    cases = (replace(CASES[0], reference="Six words are far too few."), *CASES[1:])
    given = answers()
    given["mute"] = ["Yes.", *["Yes."] * (len(CASES) - 1)]
    found = beside(style_model, scorecard(cases, given, ruler(), challenger="mute", fits={}))
    assert all(np.isnan(one.metrics["style_embedding"][0]) for one in found.systems.values())
    assert found.systems["mute"].mean("style_embedding") == 0
    assert np.nanmin(found.systems["base"].metrics["style_embedding"]) > 0


def test_one_model_is_loaded_once_for_a_process(own: StyleEmbedding, style_model: str) -> None:
    again = style_embedding(with_model(style_model), TRAINING)
    assert again is not None
    assert vars(again.encoder)["_encoder"] is vars(own.encoder)["_encoder"]
    assert np.allclose(again.centroid, own.centroid)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "no such model"])
def test_a_wrong_name_is_an_error_that_says_which_setting_to_change(name: str) -> None:
    with pytest.raises(TwinError, match="TWIN_STYLE_MODEL"):
        optional_axes(with_model(name), TRAINING)


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors", "config.json"])
def test_a_folder_that_holds_half_a_model_is_said_to_be_none(style_model: str, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "half"
    shutil.copytree(style_model, folder)
    (folder / missing).unlink()
    with pytest.raises(InvalidInput) as refused:
        optional_axes(with_model(str(folder)), TRAINING)
    assert "\n" not in str(refused.value)
    assert missing != "model.safetensors" or "TWIN_STYLE_MODEL" in str(refused.value)


def test_an_architecture_that_nobody_knows_is_an_error_for_a_person(style_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "strange"
    shutil.copytree(style_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "of my own"}))
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        optional_axes(with_model(str(folder)), TRAINING)


def test_too_little_prose_makes_no_centroid(style_model: str) -> None:
    with pytest.raises(InvalidInput, match="less than 120 words"):
        optional_axes(with_model(style_model), ["Two words."])
