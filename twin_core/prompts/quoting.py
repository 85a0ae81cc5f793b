"""How retrieved and asked text is put into a prompt: as labelled data that cannot pass for anything else.

Retrieved text may hold instructions, our own delimiters, or the control tokens of a model family, which a tokenizer
would take for real. What is changed here is changed in the prompt alone: citations show the original.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from twin_core.records import LinkedText, Passage

# `<passage-1>`, `</ PASSAGE ...`, also with the full-width bracket: nothing quoted may open or close a quotation.
_DELIMITER = re.compile(r"[<＜﹤]\s*(?=[/／]?\s*passage)", re.IGNORECASE)
# <|im_start|>, <|eot_id|>, <｜User｜>: the shape that Llama, Qwen, SmolLM, Phi and DeepSeek give their control tokens.
# With a space inside the bar it is no such token but an operator, as in `f <| g |> h`.
_PIPED = re.compile(r"<([|｜][^\s<>|｜](?:[^<>|｜\n]{0,38}[^\s<>|｜])?[|｜])>")
# Llama 2, Mistral, Gemma.
_NAMED = re.compile(
    r"<(/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|turn))>|\[(/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS))\]"
)
# A line that looks like another labelled passage or another turn.
_LABEL_LINE = re.compile(r"^(\s*)\[(\d{1,3})\](?=\s)", re.MULTILINE)
_QUOTATION = re.compile(r"<passage-(\d+)>\n(.*?)\n</passage-\1>", re.DOTALL)
# Control characters but tab and newline, and the marks that reorder or hide text.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def harmless(text: str) -> str:
    """The text with everything that could pass for a delimiter, a control token or a label made visibly different."""
    text = _INVISIBLE.sub("", text)
    text = _DELIMITER.sub("‹", text)
    text = _PIPED.sub(r"‹\1›", text)
    text = _NAMED.sub(lambda found: f"‹{found[1]}›" if found[1] else f"({found[2]})", text)
    return _LABEL_LINE.sub(r"\1(\2)", text)


def labelled(passages: Sequence[Passage]) -> str:
    """The passages as the answer templates quote them, labelled from 1 in this order."""
    return "\n\n".join(passage_quoted(label, passage) for label, passage in enumerate(passages, start=1))


def quoted(prompt: str) -> tuple[str, ...]:
    """The passages that `labelled` put into a prompt, in their order, as the model reads them."""
    return tuple(found[2] for found in _QUOTATION.finditer(prompt))


def passage_quoted(label: int, passage: Passage) -> str:
    """One passage under its label: where it comes from, then its text between delimiters."""
    date = f", {passage.written_at:%Y-%m-%d}" if passage.written_at else ""
    where = f"{passage.title} ({passage.category}{date}, {_public(passage.location)})"
    return f"[{label}] {_one_line(where)}\n{delimited(label, passage.text)}"


def link_quoted(label: int, link: LinkedText) -> str:
    """The same of a page that somebody else wrote, which says so."""
    date = f", {link.written_at:%Y-%m-%d}" if link.written_at else ""
    where = f"{link.title} (linked page, third party{date}, {link.url})"
    return f"[{label}] {_one_line(where)}\n{delimited(label, link.text)}"


def delimited(label: int | str, text: str) -> str:
    """Any text as data: between delimiters that nothing in it can close."""
    return f"<passage-{label}>\n{harmless(text).strip()}\n</passage-{label}>"


def _public(location: str) -> str:
    """A web address as it is; of a file its name alone: a model that learnt the folder would write it down elsewhere."""
    if location.lower().startswith(("https://", "http://")):
        return location
    return re.split(r"[/\\]", location.rstrip("/\\"))[-1]


def _one_line(where: str) -> str:
    return harmless(where).replace("\n", " ")
