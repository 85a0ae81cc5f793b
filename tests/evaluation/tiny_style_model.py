"""A style model that is small enough to be made on the spot."""

from __future__ import annotations

from pathlib import Path

from twin_core.settings import Settings


def make_style_model(root: Path) -> str:
    """A sentence-transformers model of a few hundred thousand weights that nobody trained: it sees which words a text is made of."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from twin_core.models.embedding_model import embedding_model

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(embedding_model(Settings(_env_file=None)).folder))
    network = BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip
    network.save_pretrained(root / "bert")
    tokenizer.save_pretrained(root / "bert")
    modules = [Transformer(str(root / "bert"), max_seq_length=256), Pooling(16)]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(root / "of-manner"))
    return str(root / "of-manner")
