"""The embedder: vectors of length 1 in the order asked for, tokens counted as the model counts them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.errors import InvalidInput
from twin_core.models.embedder import batches, embedder
from twin_core.models.embedding_model import embedding_model
from twin_core.settings import Settings

TEXTS = ["a bowline holds", "the harbour empties twice a day " * 60, "tide", "a bowline keeps its load"]


@pytest.fixture(scope="module")
def plain() -> Settings:
    return Settings(embedding_dtype="float32", _env_file=None)


def test_vectors_come_in_order_with_length_one(plain: Settings) -> None:
    vectors = embedder(plain).encode(TEXTS)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    similar = vectors @ vectors.T
    assert similar[0, 3] > similar[0, 1]
    alone = embedder(plain).encode([TEXTS[2]])[0]
    assert float(alone @ vectors[2]) > 0.9999


def test_bfloat16_gives_nearly_the_same_vectors(plain: Settings) -> None:
    quick = embedder(plain.model_copy(update={"embedding_dtype": "bfloat16"})).encode(TEXTS)
    exact = embedder(plain).encode(TEXTS)
    assert (quick * exact).sum(axis=1).min() > 0.99


def test_no_texts_are_no_vectors(plain: Settings) -> None:
    assert embedder(plain).encode([]).shape == (0, 384)


def test_a_process_has_one_embedder_per_model(plain: Settings) -> None:
    assert embedder(plain) is embedder(Settings(embedding_dtype="float32", _env_file=None))


def test_tokens_are_counted_beyond_the_window_and_with_specials(plain: Settings) -> None:
    model = embedder(plain)
    assert model.window == 256
    assert model.count(["", "tide", "tide " * 400]) == [2, 3, 402]


def test_counting_and_describing_load_no_torch() -> None:
    program = (
        "import sys\nfrom twin_core.models.embedder import embedder\nfrom twin_core.settings import Settings\n"
        "model = embedder(Settings(_env_file=None))\nmodel.count(['tide'])\n"
        "print(model.dimension, sorted({'torch', 'sentence_transformers', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "384 []"


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        embedding_model(Settings(embedding_model=name, _env_file=None))


def test_a_folder_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"config\.json"):
        embedding_model(Settings(embedding_model=str(tmp_path), _env_file=None))


def test_a_folder_is_a_model_with_an_id_of_its_own(plain: Settings, tmp_path: Path) -> None:
    packaged = embedding_model(plain)
    copy = tmp_path / "mine"
    shutil.copytree(packaged.folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    changed = json.loads((copy / "sentence_bert_config.json").read_text()) | {"max_seq_length": 128}
    (copy / "sentence_bert_config.json").write_text(json.dumps(changed))
    model = embedding_model(Settings(embedding_model=str(copy), _env_file=None))
    assert model.window == 128
    assert model.id.startswith("mine-")
    assert model.id.split("-")[-1] != packaged.id.split("-")[-1]
    assert model.tokenizer_id != packaged.tokenizer_id


@settings(deadline=None)
@given(st.lists(st.integers(0, 600), max_size=60), st.integers(1, 3000))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    made = list(batches(lengths, window=256, budget=budget))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(1, *(min(lengths[index], 256) for index in batch))
        assert len(batch) == 1 or len(batch) * longest <= budget
