"""What a GPU does otherwise than a processor: the same weights again, four bits, bfloat16, answers. Skipped where there is none.

Needs no database: `pytest --noconftest tests/gpu` runs it beside nothing but the training libraries.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from twin_core.evaluation.fit import bits_per_byte, fit
from twin_core.models import bases
from twin_core.models.stand_in import save_tokenizer, tokenizer_of
from twin_core.training.arguments import Trained
from twin_core.training.config import Preference, TrainingConfig, load_config
from twin_core.training.dpo import train_dpo
from twin_core.training.sft import train_sft
from twin_core.writing.without_server import answers, placed, templated

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here"),
]

TEXTS = [path.read_text("utf-8") for path in sorted((Path(__file__).parents[2] / "demo" / "articles").glob("*.md"))]
PASSAGES = [part for text in TEXTS for part in text.split("\n\n") if len(part.split()) > 30][:64]
CONFIG = load_config(
    "tiny", {"batch": 4, "accumulate": 1, "max_steps": 12, "save_every": 4, "log_every": 1, "max_length": 512}
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of 40 million parameters with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("base"), tokenizer_of(TEXTS)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=512, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, intermediate_size=1536, max_position_embeddings=1024, tie_word_embeddings=True,
        eos_token_id=tokenizer.token_to_id("<|end|>"), pad_token_id=tokenizer.token_to_id("<|pad|>"), bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return str(folder)


def rows() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"id": str(at), "prompt": [{"role": "user", "content": f"Write passage {at}."}], "completion": text}
            for at, text in enumerate(PASSAGES)
        ]
    )


def train(base: str, folder: Path, **changes: Any) -> Trained:
    return train_sft(TrainingConfig.model_validate({**CONFIG.model_dump(), **changes}), rows(), folder, base=base)


def weights(adapter: Path) -> str:
    return hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


_KILLED = """
import json, sys
from pathlib import Path
from tests.gpu.test_gpu import CONFIG, rows
from twin_core.training.sft import train_sft
train_sft(CONFIG, rows(), Path(sys.argv[2]), base=sys.argv[1], tell=lambda said: print(json.dumps(said.step), flush=True))
"""


def test_the_same_seed_gives_the_same_weights_and_so_does_a_run_that_was_killed(base: str, tmp_path: Path) -> None:
    first, again = (weights(train(base, tmp_path / name).folder) for name in ("first", "again"))
    assert again == first
    assert weights(train(base, tmp_path / "other", seed=1).folder) != first

    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, base, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().isdigit() and json.loads(line) >= 7:
            process.kill()
            break
    assert process.wait() == -signal.SIGKILL
    went_on: list[int] = []
    resumed = train_sft(CONFIG, rows(), tmp_path / "killed", base=base, tell=lambda said: went_on.append(said.step))
    assert went_on[0] in {5, 9}
    assert weights(resumed.folder) == first


def test_four_bits_are_trained_on_and_the_adapter_stands_on_the_whole_base(base: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    made = train(base, tmp_path, peft="qlora", epochs=3, max_steps=None)
    assert made.base_hash == bases.fingerprint(base)
    assert "Linear4bit" in {type(layer).__name__ for layer in made.model.modules()}
    tokenizer = bases.load_tokenizer(base)
    bare = placed(bases.load_model(base)).eval()
    before = bits_per_byte(fit(bare, tokenizer, PASSAGES))
    after = bits_per_byte(fit(placed(bases.attach(bare, made.folder)).eval(), tokenizer, PASSAGES))
    assert after < before - 0.2


def test_preferences_go_on_from_the_adapter(base: str, tmp_path: Path) -> None:
    sft = train(base, tmp_path / "sft")
    shouted = rows().rename({"completion": "chosen"}).with_columns(rejected=pl.col("chosen").str.to_uppercase())
    config = CONFIG.model_copy(update={"preference": Preference(learning_rate=1e-3)})
    said: list[float] = []
    made = train_dpo(
        config, shouted, tmp_path / "dpo", base=base, parent=sft.folder, tell=lambda now: said.append(now.loss or 0.0)
    )
    assert weights(made.folder) != weights(sft.folder)
    assert said[0] == pytest.approx(0.693, abs=0.01)
    assert max(said[-3:]) < said[0]


def test_fit_is_that_of_a_processor_and_answers_come_in_batches(base: str, tmp_path: Path) -> None:
    made = train(base, tmp_path / "sft", max_steps=48)
    tokenizer = bases.load_tokenizer(base)
    model = bases.attach(bases.load_model(base), made.folder).eval()
    assert next(model.parameters()).dtype == torch.bfloat16
    on_gpu = bits_per_byte(fit(placed(model), tokenizer, PASSAGES[:8]))
    on_processor = bits_per_byte(fit(model.float().to("cpu"), tokenizer, PASSAGES[:8]))
    assert on_gpu == pytest.approx(on_processor, rel=0.01)

    asked = templated(tokenizer, [[("user", f"Write passage {at}.")] for at in range(40)])
    model = placed(bases.attach(bases.load_model(base), made.folder)).eval()
    said = answers(model, tokenizer, asked, [24 + at % 3 for at in range(40)])
    assert said == answers(model, tokenizer, asked, [24 + at % 3 for at in range(40)])
    assert sum(bool(one) for one in said) > 35


def test_a_merged_model_says_what_base_and_adapter_say(base: str, tmp_path: Path) -> None:
    made = train(base, tmp_path / "sft")
    merged = bases.merge(base, made.folder, tmp_path / "merged", fingerprint_of_base=made.base_hash)
    tokenizer = bases.load_tokenizer(base)
    apart = bits_per_byte(
        fit(placed(bases.attach(bases.load_model(base), made.folder)).eval(), tokenizer, PASSAGES[:8])
    )
    whole = bits_per_byte(fit(placed(bases.load_model(str(merged))).eval(), tokenizer, PASSAGES[:8]))
    assert whole == pytest.approx(apart, rel=0.01)
