"""What a passage answers: the instruction for which the author's own text is the answer.

A language model is asked for the instruction only, never for text to learn from: an answer that a model wrote "in the
author's style" launders the style away. Without a model, rules make plainer instructions from headings, first
sentences, key phrases and signatures.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import msgspec

from twin_core import identity, prompts
from twin_core.datasets.passages import Section, count_words
from twin_core.errors import ServiceUnavailable
from twin_core.models.chat import ChatClient, ChatError, ChatRefused, Message, model_name
from twin_core.models.forms import Unusable, decoded, filled
from twin_core.models.local_server import STAND_IN
from twin_core.prompts.languages import language_name
from twin_core.prompts.quoting import harmless
from twin_core.records import Category
from twin_core.settings import Settings
from twin_core.store.datasets import KeptAnswer
from twin_core.text.fingerprint import words

RULES_VERSION = "1"
"""Raise it when the rules give another instruction for the same passage."""
PURPOSE = "instruction"
AT_ONCE = 4
"""Requests in flight: what a local server batches well, and few enough for one on a processor."""
MAX_TOKENS = 160
LEAST_WORDS, MOST_WORDS = 4, 60
COPIED = 8
"""Words in a row from the passage that an instruction must not hold."""
UNUSABLE = "no usable instruction in three answers"

_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {"instruction": {"type": "string"}},
    "required": ["instruction"],
    "additionalProperties": False,
}
_SELF_TALK = re.compile(r"\b(?:the|this|given) (?:text|passage|excerpt)\b|\bthe author\b", re.IGNORECASE)
_SENTENCE = re.compile(r"\A\s*(.+?(?:[.!?…:][\"'”’)\]*_]*(?=\s)|[。！？][」』”]*|\n\s*\n|\Z))", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)|https?://\S+|[`*_#]+")
_DOCSTRING = re.compile(r"\A\s*[rRuUbB]{0,2}(\"\"\"|''').*?\1[ \t]*\n", re.DOTALL)
_PYTHON_SIGNATURE = re.compile(
    r"\A(?:[ \t]*(?:@[^\n]*|\#[^\n]*)\n)*[ \t]*(?:async\s+)?(?:def|class)\b[^:]*?"
    r"(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?[^:\n]*:[ \t]*(?:\#[^\n]*)?\n"
)
_BRACE_SIGNATURE = re.compile(r"\A[^{};]*?(?:\([^)]*\))?[^{};]*\{[ \t]*\n")
# Frequent English words of five letters or more: what is left of a post without them is what it is about.
_COMMON = frozenset(
    [
        "about",
        "above",
        "after",
        "again",
        "against",
        "almost",
        "already",
        "although",
        "always",
        "another",
        "anyone",
        "anything",
        "around",
        "because",
        "become",
        "becomes",
        "before",
        "being",
        "below",
        "between",
        "cannot",
        "could",
        "doing",
        "during",
        "either",
        "enough",
        "every",
        "everyone",
        "everything",
        "first",
        "found",
        "going",
        "having",
        "however",
        "inside",
        "instead",
        "itself",
        "later",
        "least",
        "little",
        "maybe",
        "might",
        "never",
        "nobody",
        "nothing",
        "often",
        "other",
        "others",
        "people",
        "perhaps",
        "please",
        "quite",
        "rather",
        "really",
        "right",
        "seems",
        "shall",
        "should",
        "since",
        "small",
        "someone",
        "something",
        "sometimes",
        "still",
        "their",
        "theirs",
        "there",
        "these",
        "thing",
        "things",
        "think",
        "thought",
        "those",
        "though",
        "three",
        "through",
        "today",
        "together",
        "tomorrow",
        "under",
        "until",
        "using",
        "wanted",
        "wants",
        "where",
        "whether",
        "which",
        "while",
        "whole",
        "whose",
        "without",
        "would",
        "years",
        "yesterday",
        "yours",
        "yourself",
    ]
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An instruction with the author's text that answers it: the passage, or what follows its beginning."""

    instruction: str
    answer: str
    origin: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking a model for instructions."""

    instructions: Mapping[str, str]
    """Key of the passage -> instruction."""
    asked: int = 0
    """Passages that a model was asked about now."""
    kept: int = 0
    """Passages whose answer was known."""
    unusable: int = 0
    """Passages for which the model gave nothing usable, now or before."""
    unanswered: int = 0
    """Passages that were not asked about because the model stopped answering. The next build asks."""
    trouble: str | None = None
    """Why it stopped."""


def by_rule(section: Section) -> Draft:
    """The instruction that the passage's own place gives."""
    category = section.document.category
    if category == Category.CODE:
        return _code(section)
    if category == Category.POST:
        return _post(section)
    title, heading = section.document.title, section.path[-1] if section.path else ""
    if section.whole:
        return Draft(f"Write an article titled “{title}”.", section.text, "rule")
    if heading and not same_words(heading, title):
        return Draft(f"Write the section “{heading}” of an article titled “{title}”.", section.text, "rule")
    if section.start == 0:
        return Draft(f"Write the opening of an article titled “{title}”.", section.text, "rule")
    return _continued(section, f"Continue this article titled “{title}”:")


def same_words(heading: str, title: str) -> bool:
    """Whether two headings say the same, whatever their case and marks."""
    return words(heading) == words(title)


def _continued(section: Section, task: str) -> Draft:
    first = _SENTENCE.match(section.text)
    rest = section.text[first.end() :].strip() if first else ""
    if first is None or not rest:
        return Draft(f"{task} {section.document.title}", section.text, "rule")
    return Draft(f"{task}\n\n{first[1].strip()}", rest, "rule")


def _post(section: Section) -> Draft:
    phrases = key_phrases(section.text)
    if not phrases:
        return _continued(section, "Continue this post:")
    return Draft(f"Write a post about {listed(phrases)}.", section.text, "rule")


def listed(phrases: Sequence[str]) -> str:
    """As in a sentence: a, b and c. Empty for none."""
    return " and ".join(part for part in (", ".join(phrases[:-1]), *phrases[-1:]) if part)


def key_phrases(text: str, limit: int = 4) -> list[str]:
    """The words that say most of what a short text is about, in the order in which they come.

    The frequent and the long ones; in scripts without spaces, pairs of characters that come again.
    """
    found = words(_LINK.sub(lambda link: f" {link[1] or ''} ", text))
    long = [word for word in found if len(word) >= 5 and word.isalpha() and word not in _COMMON]
    if not long:
        pairs = [one + other for one, other in itertools.pairwise(found) if len(one) == len(other) == 1]
        repeated = Counter(pair for pair in pairs if pair.isalpha())
        long = [pair for pair in pairs if repeated[pair] > 1] or [pair for pair in pairs[:1] if pair.isalpha()]
    counts = Counter(long)
    best = sorted(counts, key=lambda word: (-counts[word] * len(word), long.index(word)))[:limit]
    return sorted(best, key=long.index)


def _code(section: Section) -> Draft:
    document, text = section.document, section.text
    language = "" if document.language == "text" else document.language
    if not section.path:
        lines = text.split("\n")
        begun = max(len(lines) // 4, 1)
        head = "\n".join(lines[:begun])
        task = f"Continue the {language or 'text'} file `{document.title}`:\n\n```{language}\n{head}\n```"
        return Draft(task, "\n".join(lines[begun:]).strip("\n") or text, "rule")
    signature = signature_of(text, document.language)
    body = text[len(signature) :].strip("\n")
    if not signature.strip() or not body.strip():
        return Draft(f"Write `{'.'.join(section.path)}` of the {language} file `{document.title}`.", text, "rule")
    task = f"Write the body of `{'.'.join(section.path)}` ({language}, `{document.title}`):"
    return Draft(f"{task}\n\n```{language}\n{signature.rstrip()}\n```", body, "rule")


def signature_of(text: str, language: str) -> str:
    """The beginning of a function or class that says what it does: decorators, signature, docstring. Else empty."""
    pattern = _PYTHON_SIGNATURE if language == "python" else _BRACE_SIGNATURE
    found = pattern.match(text)
    if found is None:
        return ""
    end = found.end()
    if language == "python" and (documented := _DOCSTRING.match(text[end:])):
        end += documented.end()
    return text[:end]


def key_of(section: Section) -> str:
    """What an instruction depends on: the prompt and the passage. Not the model: another one is no reason to ask anew."""
    return identity.sha256("\x1f".join((prompts.load(prompts.INSTRUCTION).version, *_values(section).values())))


def _values(section: Section) -> dict[str, str]:
    document = section.document
    kinds = {Category.ARTICLE: "A part of an article", Category.POST: "A post", Category.CODE: "Source code"}
    language = "English" if document.category == Category.CODE else language_name(document.language)
    if document.category == Category.ARTICLE and section.whole:
        kinds[Category.ARTICLE] = "An article"
    return {
        "kind": kinds[document.category],
        "title": harmless(document.title),
        "section": f", section “{harmless(section.path[-1])}”" if section.path and not section.whole else "",
        "language": language,
        "passage": harmless(section.text),
    }


def model_at_hand(settings: Settings) -> bool:
    """Whether a language model is there that can be asked for instructions. The stand-in cannot write any.

    Raises ServiceUnavailable when the settings insist on one and none answers.
    """
    if settings.dataset_instructions == "rules":
        return False
    stand_in = settings.llm_url is None and settings.base_model == STAND_IN

    async def answers() -> bool:
        async with ChatClient(settings) as client:
            return await client.answers()

    there = not stand_in and asyncio.run(answers())
    if not there and settings.dataset_instructions == "llm":
        raise ServiceUnavailable(
            "TWIN_DATASET_INSTRUCTIONS is `llm`, and no language model answers that could write instructions. Start one "
            "(TWIN_LLM_URL names it; the stand-in cannot), or set TWIN_DATASET_INSTRUCTIONS=rules."
        )
    return there


def ask(
    sections: Sequence[Section],
    *,
    settings: Settings,
    kept: Mapping[tuple[UUID, str], KeptAnswer],
    keep: Callable[[Sequence[KeptAnswer]], None],
    at_hand: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Asked:
    """Instructions for these passages: those kept from before, and the rest asked of the model now.

    What comes is handed to `keep` in small lots, so that an interrupted build loses little. A model that stops
    answering ends the asking and not the build: `unanswered` says how many are left.
    """
    known = {key_of(one): kept.get((one.document.document_id, key_of(one))) for one in sections}
    instructions = {key: one.answer for key, one in known.items() if one is not None and one.answer is not None}
    unusable = sum(one is not None and one.answer is None for one in known.values())
    open_ones = list({key_of(one): one for one in sections if known[key_of(one)] is None}.values())
    counted = Asked(instructions=instructions, kept=len(known) - len(open_ones), unusable=unusable)
    if not at_hand or not open_ones:
        return replace(counted, unanswered=len(open_ones))
    return asyncio.run(_ask_all(open_ones, counted, settings, keep, progress))


async def _ask_all(
    sections: Sequence[Section],
    before: Asked,
    settings: Settings,
    keep: Callable[[Sequence[KeptAnswer]], None],
    progress: Callable[[int, int], None] | None,
) -> Asked:
    instructions, unusable, asked, trouble = dict(before.instructions), before.unusable, 0, None
    async with ChatClient(settings) as client:
        for at in range(0, len(sections), AT_ONCE * 2):
            lot = sections[at : at + AT_ONCE * 2]
            gate = asyncio.Semaphore(AT_ONCE)
            answers = await asyncio.gather(
                *(_ask_one(client, settings, section, gate) for section in lot), return_exceptions=True
            )
            good = [one for one in answers if isinstance(one, KeptAnswer)]
            keep(good)
            asked += len(good)
            unusable += sum(one.answer is None for one in good)
            instructions |= {one.key: one.answer for one in good if one.answer is not None}
            for failed in (one for one in answers if isinstance(one, BaseException)):
                if not isinstance(failed, ChatError):
                    raise failed
                trouble = str(failed)
            if progress is not None:
                progress(asked, len(sections))
            if trouble is not None:
                break
    return Asked(
        instructions=instructions,
        asked=asked,
        kept=before.kept,
        unusable=unusable,
        unanswered=len(sections) - asked,
        trouble=trouble,
    )


async def _ask_one(client: ChatClient, settings: Settings, section: Section, gate: asyncio.Semaphore) -> KeptAnswer:
    template = prompts.load(prompts.INSTRUCTION)
    values = _values(section)
    system = Message(role="system", content=template.fill("system", **values))
    user = Message(role="user", content=template.fill("user", **values))
    instruction, reason = None, UNUSABLE
    async with gate:
        try:
            instruction = await filled(
                client,
                [system, user],
                partial(_valid, section=section),
                harmless=harmless,
                schema=_SCHEMA,
                max_tokens=MAX_TOKENS,
            )
        except ChatRefused as error:  # the same again would be refused again
            reason = f"the model refused it: {error}"
    return KeptAnswer(
        document_id=section.document.document_id,
        key=key_of(section),
        purpose=PURPOSE,
        model=model_name(settings),
        prompt_version=template.version,
        answer=instruction,
        reason=None if instruction is not None else reason,
    )


def _valid(said: str, section: Section) -> str:
    """The instruction in an answer. Raises Unusable."""
    instruction = decoded(said, _Answer, described='of the form {"instruction": "..."}').instruction.strip()
    length = count_words(instruction)
    if not LEAST_WORDS <= length <= MOST_WORDS * (2 if section.document.language in {"zh", "ja", "ko"} else 1):
        raise Unusable(f"it has {length} words, not {LEAST_WORDS} to {MOST_WORDS}")
    if _SELF_TALK.search(instruction):
        raise Unusable("it speaks of the text instead of asking for it")
    asked, there = words(instruction), words(section.text)
    runs = {tuple(there[at : at + COPIED]) for at in range(len(there) - COPIED + 1)}
    if any(tuple(asked[at : at + COPIED]) in runs for at in range(len(asked) - COPIED + 1)):
        raise Unusable("it quotes the text")
    return instruction
