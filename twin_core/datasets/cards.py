"""The dataset card of a version: what it is, how it was made and what it must not be taken for, as the Hub reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin_core.store.datasets import Version

_BODY = """---
{{ card_data }}
---

# {{ title }}

{{ size }} of {{ author }}'s own writing, made to fine-tune a model that writes like {{ author }} for {{ author }}.
Version `{{ version }}`.

| | train | test |
|---|---|---|
{{ table }}

The newest documents are held out; near-duplicates stay on one side, and no train example shares 13 words in a row with
a test answer. The author's text is always the answer, or the preferred one; instructions are made by a language model
or by rule, rejected answers by models or from people's feedback. Personal data and secrets were replaced by
placeholders ({{ redactions }}).

Left out: {{ drops }}.

## Limits

It holds the writing of one person who consented to this use by this project. It says nothing about other people, and a
model trained on it must not be passed off as the person. What is forgotten later is taken out of the source and this
version is marked as tainted there; copies made before are out of its reach.

## How it was made

{{ settings }}
"""


def card(version: Version) -> str:
    """The card as Markdown with its YAML header. Written from the manifest alone: counts and rules, no text."""
    from huggingface_hub import DatasetCard, DatasetCardData

    made = version.manifest
    author, kind = made["author"]["name"], version.kind.value
    data = DatasetCardData(
        language=made["languages"],
        license="other",
        license_name="by-permission-of-the-author",
        task_categories=["text-generation"],
        pretty_name=f"{author}: {kind}",
        tags=["llm-twin", kind],
    )
    written = DatasetCard.from_template(
        data,
        template_str=_BODY,
        title=f"{author}: {kind}",
        author=author,
        size=f"{version.examples:,} examples",
        version=version.id,
        table="\n".join(_rows(made)),
        redactions=_listed(made["redactions"]),
        drops=_listed(made["drops"]),
        settings="\n".join(f"- {name}: `{value}`" for name, value in sorted(made["settings"].items())),
    )
    return str(written.content)


def _rows(made: Mapping[str, Any]) -> list[str]:
    lines = {"documents": made["documents"], "words": made["words"]}
    for name in ("by_category", "by_origin"):
        lines |= {f"{name.removeprefix('by_')} {one}": counted for one, counted in made[name].items()}
    return [f"| {name} | {counted['train']:,} | {counted['test']:,} |" for name, counted in lines.items()]


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.items()) or "none"
