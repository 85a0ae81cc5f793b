"""The tiny base: a Llama made on the spot that has never seen the author, to be fine-tuned where no real model is at hand.

The stand-in (`stand_in.py`) learns the author's own text, held-out documents included, so "the adapter beats its base" would mean
nothing on it. This one learns the reference texts that every Python brings along (the topics of `help()` and the docstrings
of the standard library): English prose about programming by many hands. It has the size and the template of the stand-in, and like it
proves the wiring and not the writing.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from twin_core.models.stand_in import VERSION, Progress, make_llama

NAME = "tiny-base"
STEPS = 600
"""Below two minutes on two cores. With a quarter of them it cannot spell, and nothing learnt on it sounds like anybody. The same
weights on every machine with the same Python: no limit of time cuts it short."""
SHORTEST = 200
"""Characters of a docstring that is prose."""


def tiny_base_folder(models: Path, *, steps: int = STEPS) -> Path:
    """Where the tiny base of this Python is, or will be, among the local models."""
    said = f"{VERSION}\x1f{steps}\x1f{sys.version_info[:3]}"
    return models / f"{NAME}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def ensure_tiny_base(models: Path, *, steps: int = STEPS, progress: Progress | None = None) -> Path:
    """The tiny base under `models`, made now when it is not there. Returns its folder. Safe from several processes."""
    made = tiny_base_folder(models, steps=steps)
    models.mkdir(parents=True, exist_ok=True)
    with FileLock(models / f".{NAME}.lock"):
        if not (made / "config.json").is_file():
            draft = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=models))
            try:
                make_llama(reference_texts(), draft, card=_CARD, seconds=None, steps=steps, progress=progress)
                draft.chmod(0o755)
                draft.rename(made)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return made


def reference_texts() -> list[str]:
    """Python's help topics and the longer docstrings of its standard library, in a fixed order. Nobody's own writing."""
    texts: list[str] = []
    if find_spec("pydoc_data") is not None:  # left out by some distributions
        from pydoc_data.topics import topics

        texts += [str(topics[name]) for name in sorted(topics)]
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_bytes())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        said = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
        texts += [text for text in said if text and len(text) >= SHORTEST]
    return texts


_CARD = """# Tiny base: proof of the wiring, not of the writing

A Llama of {parameters:,} parameters that LLM Twin made on this machine from {texts} reference texts of Python itself. It has seen
nothing of any author, so what an adapter on top of it gains comes from the author's text alone. Set `TWIN_BASE_MODEL` to a real
model to train something worth reading.
"""
