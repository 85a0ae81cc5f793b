"""Questions about what the author wrote: examples of the prompt that answers them.

Drafts are learnt from passages as the author wrote them, and nobody cites their own notes: a twin that learnt drafts alone would
forget how to answer with sources (docs/decisions/0027). Here the author's passage stands among the prompt's passages, and its
beginning, sentence by sentence under its label, is the answer. A held-out passage stands in no prompt, here neither: on those the
answers of a model are measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from uuid import UUID

from twin_core import identity, prompts
from twin_core.datasets.instructions import Draft, key_phrases, listed, same_words
from twin_core.datasets.passages import Section, count_words
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import harmless, labelled
from twin_core.records import QUESTION, Author, Category, Passage
from twin_core.writing.material import Material

QUESTIONS_VERSION = "1"
"""Raise it when the same passage gives another question or answer."""
ONE_IN = 3
"""Passages that are learnt from: a quarter of all examples, because what a twin learns first is to write."""
SHOWN = 1200
"""Characters of the passage in the prompt, up to the end of a sentence: what one chunk of retrieval holds."""
ANSWERED = 60
"""Words of the answer, in whole sentences: the prompt asks for brevity."""
FEWEST_WORDS = 12
"""Of an answer."""

_FENCED = re.compile(r"^(```|~~~).*?(?:^\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_NO_PROSE = re.compile(r"[#|>*+<!-]|\d+[.)] | {4}|\t")
_END = re.compile(r"[.!?…]+[\"')\]”’]*(?=\s+[^a-z\s]|\s*\Z)|[。！？]+[」』”]*")
_CLOSING = re.compile(r"[.!?…。！？]+[\"')\]”’」』]*\Z")


def question(section: Section, text: str) -> Draft | None:
    """What a reader would ask to get this passage, and its beginning; None for code and where no sentences stand.

    `text` is the passage's, redacted.
    """
    document = section.document
    said = _beginning(text)
    if document.category == Category.CODE or count_words(said) < FEWEST_WORDS:
        return None
    if document.category == Category.POST:
        about = listed(key_phrases(text))
    elif section.path and not same_words(section.path[-1], document.title):
        about = f"“{section.path[-1]}” in “{document.title}”"
    else:
        about = f"“{document.title}”"
    return Draft(f"What did you write about {about}?", said, QUESTION) if about else None


def to_learn(sections: Iterable[Section], *, text: Callable[[str], str]) -> Iterator[tuple[Section, Draft]]:
    """Questions about one passage in so many (ONE_IN). Which, chance decides, the same whatever else there is."""
    for section in sections:
        if int(_by_chance(section)[:8], 16) % ONE_IN == 0 and (draft := question(section, text(section.text))):
            yield section, draft


def to_measure(sections: Iterable[Section], *, text: Callable[[str], str]) -> Iterator[tuple[Section, Draft]]:
    """One question about each document that has a passage for it."""
    by_document: dict[UUID, list[Section]] = {}
    for section in sections:
        by_document.setdefault(section.document.document_id, []).append(section)
    for own in by_document.values():
        for section in sorted(own, key=_by_chance):
            if draft := question(section, text(section.text)):
                yield section, draft
                break


def asked(
    author: Author, section: Section, draft: Draft, found: Material, *, text: str, held_out: bool
) -> tuple[tuple[tuple[str, str], ...], str]:
    """The prompt, as (role, content), and the answer: under the label of the author's passage, which a held-out one has not.

    `text` is the passage's, redacted.
    """
    passages, answer = list(found.related), draft.answer
    if not held_out:
        at = int(identity.sha256(draft.instruction)[:8], 16) % (len(passages) + 1)
        passages.insert(at, _as_found(section, _shown(text)))
        answer = under_label(draft.answer, at + 1)
    template = prompts.load(prompts.ANSWER)
    system = template.fill("system", author=harmless(author.name), language=language_name(section.document.language))
    user = template.fill("user", passages=labelled(passages), question=harmless(draft.instruction))
    return (("system", system), ("user", user)), answer


def under_label(text: str, label: int) -> str:
    """The text with a label in every sentence, before the mark that ends it."""
    return " ".join(
        f"{sentence[: mark.start()]} [{label}]{mark[0]}"
        if (mark := _CLOSING.search(sentence))
        else f"{sentence} [{label}]"
        for sentence in _sentences(text)
    )


def _beginning(text: str) -> str:
    """Its first whole sentences outside headings, lists, quotations, tables and code, about ANSWERED words of them."""
    taken: list[str] = []
    for paragraph in _FENCED.sub("", _shown(text)).split("\n\n"):
        if not paragraph.strip() or _NO_PROSE.match(paragraph):
            continue
        for sentence in _sentences(paragraph):
            if taken and count_words(" ".join([*taken, sentence])) > ANSWERED:
                return " ".join(taken)
            taken.append(sentence)
    return " ".join(taken)


def _shown(text: str) -> str:
    """As much of it as the prompt shows."""
    if len(text) <= SHOWN:
        return text
    ends = [end.end() for end in _END.finditer(text, 0, SHOWN)]
    return text[: ends[-1]] if ends else ""


def _sentences(text: str) -> list[str]:
    """On one line each."""
    line = " ".join(text.split())
    cuts = [0, *(end.end() for end in _END.finditer(line)), len(line)]
    return [part for start, end in pairwise(cuts) if (part := line[start:end].strip())]


def _as_found(section: Section, text: str) -> Passage:
    """The passage as retrieval would give it."""
    document = section.document
    return Passage(
        chunk_id=document.revision_id,
        document_id=document.document_id,
        revision_id=document.revision_id,
        category=document.category,
        title=document.title,
        location=document.location,
        context="",
        text=text,
        start=section.start,
        end=section.end,
        written_at=document.written_at,
        score=0.0,
        legs={},
    )


def _by_chance(section: Section) -> str:
    return identity.sha256(f"{section.document.document_id}\x1f{section.text}")
