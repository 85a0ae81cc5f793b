"""A language model that reads questions, and a cross-encoder that is small enough to be made on the spot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.models.chat_server import ChatServer

READING: dict[str, Any] = {
    "queries": [],
    "written_from": None,
    "written_before": None,
    "categories": [],
    "sources": [],
    "titles": [],
}


@dataclass
class ReadingServer(ChatServer):
    """The chat server, which answers a request for JSON with what a test has it read out of the question."""

    reading: dict[str, Any] | str = field(default_factory=dict)

    async def _answer(self, writer: asyncio.StreamWriter, path: str, body: dict[str, Any], fault: str | None) -> None:
        said = self.reading if isinstance(self.reading, str) else json.dumps(READING | self.reading)
        self.words = (said,) if "response_format" in body else ("As I wrote", " [1].")
        await super()._answer(writer, path, body, fault)


@pytest.fixture
def reader() -> Iterator[ReadingServer]:
    served = ReadingServer()
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cross-encoder of a few thousand weights that has learnt one thing: a passage with "answer" in it is one."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from twin_core.models.embedding_model import embedding_model
    from twin_core.settings import Settings

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(embedding_model(Settings(_env_file=None)).folder))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=128, num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    network = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    words = ["harbour", "rope", "tide", "bread", "queue", "lamp"]
    texts = [f"{word} {other}" for word in words for other in words]
    batch = tokenizer(
        ["question"] * len(texts) * 2, texts + [f"{one} answer" for one in texts], return_tensors="pt", padding=True
    )
    wanted = torch.tensor([0.0] * len(texts) + [1.0] * len(texts)).unsqueeze(1)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(**batch).logits, wanted).backward()
        optimizer.step()
    folder: Path = tmp_path_factory.mktemp("cross-encoder")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CrossEncoder(str(folder), local_files_only=True).save_pretrained(str(folder))
    return str(folder)
