"""The stand-in: a tiny Llama made on the spot from the author's own text, so that everything can be shown offline.

It proves the wiring and not the writing, and says so in its name, its configuration, its card and its template. Here
is how it is made; which model is served, and how, is in `local_server.py`. A model for real use: TWIN_BASE_MODEL.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from filelock import FileLock

from twin_core import identity
from twin_core.errors import InvalidInput
from twin_core.models.local_server import STAND_IN

VERSION = "3"
"""Part of the folder's name: a change in how the stand-in is made makes a new one."""
SECONDS = 25.0
STEPS = 900
"""Reached first on a fast machine: two of them then make the same weights from the same text and seed."""
SEED = 20_260_101

VOCABULARY = 2048
HIDDEN, LAYERS, HEADS, INNER = 128, 4, 4, 384
WINDOW = 2048
"""Context: room for the serving prompt with a few passages."""
SEQUENCE, BATCH = 256, 8
LEARNING_RATE = 3e-3
SPREAD_SHARE = 0.3
"""Batches whose positions are spread over the whole window (randomised positional encodings, Ruoss et al. 2023): the
model never sees 2,048 tokens at once while it is made, and must not be lost when it does."""
SMALLEST_TEXT = 2_000
"""Characters below which there is nothing to learn a vocabulary from."""

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
# No line break behind a role: it would melt into one token with the spaces that code begins with, and what is learnt would
# begin elsewhere than what is written.
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

Progress = Callable[[int, int], None]


def ensure_stand_in(
    texts: Sequence[str],
    folder: Path,
    *,
    seconds: float = SECONDS,
    seed: int = SEED,
    progress: Progress | None = None,
) -> Path:
    """The stand-in made from these texts, under `folder`, made now when it is not there. Returns its folder.

    The order of `texts` does not matter. `seconds` bounds the training (saving and imports come on top); `progress`
    is told seconds done and in all. `folder/stand-in` links to the newest one. Safe from several processes at once.
    Raises InvalidInput when there is too little text.
    """
    ordered = sorted(set(texts))
    if sum(len(text) for text in ordered) < SMALLEST_TEXT:
        raise InvalidInput(
            f"A stand-in needs at least {SMALLEST_TEXT} characters of the author's text. Add a source and run `twin sync`, "
            f"or name a model with TWIN_BASE_MODEL."
        )
    made = folder / f"{STAND_IN}-{name_of(ordered)}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{STAND_IN}.lock"):
        if not (made / "config.json").is_file():
            draft = Path(tempfile.mkdtemp(prefix=f".{STAND_IN}-", dir=folder))
            try:
                make_llama(ordered, draft, card=_CARD, seconds=seconds, seed=seed, progress=progress)
                draft.chmod(0o755)
                shutil.rmtree(made, ignore_errors=True)
                draft.rename(made)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _point(folder / STAND_IN, made)
    return made


def name_of(texts: Sequence[str]) -> str:
    """12 hex digits that change with the texts (in any order) and with how a stand-in is made."""
    digest = hashlib.sha256(f"{VERSION}\x1f{VOCABULARY}\x1f{HIDDEN}\x1f{LAYERS}".encode())
    for text in sorted({identity.sha256(text) for text in texts}):
        digest.update(text.encode())
    return digest.hexdigest()[:12]


def _point(link: Path, target: Path) -> None:
    with suppress(OSError):
        if link.readlink() == Path(target.name):
            return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name, target_is_directory=True)
    fresh.replace(link)


def make_llama(
    texts: Sequence[str],
    folder: Path,
    *,
    card: str,
    seconds: float | None = SECONDS,
    steps: int = STEPS,
    seed: int = SEED,
    progress: Progress | None = None,
) -> None:
    """Make a tiny Llama from these texts, with its tokenizer and chat template, and save it in `folder`.

    `card` becomes its README, with `{texts}` and `{parameters}` filled in. Without a limit in `seconds` the weights follow
    from texts, steps and seed alone. `progress` is told seconds, or steps where there is no limit, done and in all.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = tokenizer_of(texts)
    pad, end = (tokenizer.token_to_id(token) for token in ("<|pad|>", "<|end|>"))
    configuration = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        llm_twin_stand_in=True,
    )
    model = LlamaForCausalLM(configuration)
    _train(
        model,
        _batches(texts, tokenizer, seed),
        seconds=seconds,
        steps=steps,
        seed=seed,
        progress=progress or (lambda _done, _total: None),
    )
    # Sampled, because a model of this size repeats itself without end when it always takes the likeliest token.
    model.generation_config.update(
        do_sample=True, temperature=0.6, top_p=0.9, repetition_penalty=1.05, eos_token_id=end, pad_token_id=pad
    )
    model.eval().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "README.md").write_text(card.format(texts=len(texts), parameters=model.num_parameters()))


def tokenizer_of(texts: Sequence[str]) -> Any:
    """A byte-level BPE tokenizer of VOCABULARY tokens, learnt from these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write it into a model's folder as transformers reads it, with its chat template."""
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",  # noqa: S106
        eos_token="<|end|>",  # noqa: S106
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=WINDOW,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    wrapped.save_pretrained(folder)


def _batches(texts: Sequence[str], tokenizer: Any, seed: int) -> Callable[[], list[list[int]]]:
    """A source of batches: windows of running text, and windows in the shape of a question with passages."""
    chance = random.Random(seed)  # noqa: S311  reproducible on purpose
    end = [tokenizer.token_to_id("<|end|>")]
    stream: list[int] = []
    for encoded in tokenizer.encode_batch(list(texts)):
        stream += encoded.ids + end
    shaped: list[int] = []
    for encoded in tokenizer.encode_batch(list(_dialogues(texts, chance))):
        shaped += encoded.ids

    def batch() -> list[list[int]]:
        source = shaped if shaped and chance.random() < 0.5 else stream
        source = source if len(source) > SEQUENCE + 1 else source * (2 + (SEQUENCE + 1) // len(source))
        starts = (chance.randrange(len(source) - SEQUENCE) for _ in range(BATCH))
        return [source[start : start + SEQUENCE] for start in starts]

    return batch


def _dialogues(texts: Sequence[str], chance: random.Random) -> list[str]:
    """Questions with a passage, answered by the passage's own words and its label: what serving will look like."""
    passages = [
        paragraph.strip()
        for text in texts
        for paragraph in text.split("\n\n")
        if 80 <= len(paragraph) <= 700 and not paragraph.lstrip().startswith(("#", "```", "|", "<"))
    ]
    made = []
    for passage in passages:
        sentences = passage.replace("\n", " ").split(". ")
        words = " ".join(sentences[0].split()[:8])
        label = chance.randint(1, 3)
        answer = f"{'. '.join(sentences[:2]).rstrip('.')} [{label}]."
        made.append(
            f"<|user|>[{label}] {words}\n<passage-{label}>\n{passage}\n</passage-{label}>\n\nQuestion: {words}?<|end|>\n"
            f"<|assistant|>{answer}<|end|>\n"
        )
    chance.shuffle(made)
    return made


def _train(
    model: Any,
    batch: Callable[[], list[list[int]]],
    *,
    seconds: float | None,
    steps: int,
    seed: int,
    progress: Progress,
) -> None:
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    spread = torch.Generator().manual_seed(seed)
    began = monotonic()
    model.train()
    total = round(steps if seconds is None else seconds)
    for step in range(steps):
        done = max(step / steps, 0 if seconds is None else (monotonic() - began) / seconds)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20) * (1 - 0.9 * done)
        ids = torch.tensor(batch())
        positions = torch.arange(SEQUENCE)
        if torch.rand(1, generator=spread).item() < SPREAD_SHARE:
            positions = torch.randperm(WINDOW, generator=spread)[:SEQUENCE].sort().values
        # With a mask given, gaps in the positions are not taken for the borders of packed sequences.
        loss = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=positions.expand_as(ids), labels=ids
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 10 == 0:
            progress(round(done * total), total)
    progress(total, total)


_CARD = """# Stand-in: proof of the wiring, not of the writing

A Llama of {parameters:,} parameters that LLM Twin made in seconds, on this machine, from {texts} texts of one author.
What it writes looks like language and means nothing. It exists so that retrieval, prompts, serving, citations and traces can be
shown and tested without fetching a model. Set `TWIN_BASE_MODEL` to a real one to get answers worth reading.
"""


def main(arguments: Sequence[str]) -> int:
    """`python -m twin_core.models.stand_in FOLDER [SECONDS]`: JSON list of texts on stdin, the folder on stdout."""
    folder, seconds = Path(arguments[0]), float(arguments[1]) if len(arguments) > 1 else SECONDS
    texts = json.load(sys.stdin)

    def report(done: int, total: int) -> None:
        print(f"{done}/{total}", file=sys.stderr, flush=True)  # noqa: T201

    print(ensure_stand_in(texts, folder, seconds=seconds, progress=report))  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
