"""A base that is made in a second: a tiny Llama of some of Python's reference texts, barely trained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("trl") is None:
    pytest.skip("the extra `training` is not installed", allow_module_level=True)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    from twin_core.models.stand_in import make_llama
    from twin_core.models.tiny_base import reference_texts

    folder: Path = tmp_path_factory.mktemp("base")
    make_llama(reference_texts()[:25], folder, card="{texts} {parameters}", seconds=None, steps=8)
    return str(folder)
