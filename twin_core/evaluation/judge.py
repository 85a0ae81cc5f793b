"""The judge: a language model that reads answers beside the author's text, where one is named (TWIN_JUDGE_MODEL).

Shown some of the author's training texts, it says which of two texts the author wrote, the answer or what the author wrote there; asked
in both orders, because such models like one place better. And it grades each text by itself from 1 to 3, for comparison with figures published
elsewhere. What it is shown is quoted material: a text that gives orders can mislead it about its own pair and no other, because
each pair is a request of its own. No gate reads any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np

from twin_core import prompts
from twin_core.errors import InvalidInput
from twin_core.evaluation.bootstrap import difference
from twin_core.evaluation.pieces import Paragraphs, beginning, spread
from twin_core.evaluation.prose import prose
from twin_core.evaluation.samples import asked
from twin_core.evaluation.style import enough
from twin_core.evaluation.style_embedding import own_words
from twin_core.models.chat import (
    ChatClient,
    ChatError,
    ChatGarbled,
    ChatInterrupted,
    ChatRefused,
    ChatTimeout,
    ChatUnreachable,
    Message,
)
from twin_core.models.forms import decoded, filled
from twin_core.promotion import AUTHOR
from twin_core.prompts.quoting import delimited, harmless
from twin_core.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_core.evaluation.scorecard import Case

METRICS = ("judge", "judge_accuracy", "judge_style")
MOST = 24
"""Prompts that are judged: with four systems, some 300 requests."""
WORDS = 150
"""Of each text of a pair, at most: about as long as the longest answers are."""
SAMPLES = 4
"""Texts of the author, of WORDS words, that it learns their manner from."""
AT_ONCE = 4
"""Requests in flight: what a local server batches well, and few enough for one on a processor."""
MAX_TOKENS = 100

_PLACES: tuple[Literal["first"], Literal["second"]] = ("first", "second")
_WHY: Mapping[type[BaseException], str] = {
    ChatUnreachable: "does not answer",
    ChatTimeout: "was silent for too long",
    ChatInterrupted: "broke off in the middle of an answer",
    ChatGarbled: "does not speak the chat protocol",
    ChatRefused: "refuses what it is asked (is that the name of a model that it serves?)",
}
"""What is said of trouble. Not the server's own words: they may hold what it was sent, and notes outlive texts."""


class _Pick(msgspec.Struct):
    author: Literal["first", "second"]


class _Grades(msgspec.Struct):
    accuracy: Literal[1, 2, 3]
    style: Literal[1, 2, 3]


_GRADE = {"type": "integer", "enum": [1, 2, 3]}
_SCHEMAS: Mapping[type[_Pick | _Grades], Mapping[str, object]] = {
    form: {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    for form, properties in (
        (_Pick, {"author": {"type": "string", "enum": [*_PLACES]}}),
        (_Grades, {"accuracy": _GRADE, "style": _GRADE}),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A model on a server, and what it is shown of the author."""

    model: str
    where: str
    """Host and port."""
    settings: Settings
    """Those of the client that asks it."""
    sample: str
    """The author's texts, quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What it found: by system and metric, one figure per prompt, not a number where there is none."""

    figures: Mapping[str, Mapping[str, NDArray[np.float64]]]
    prompts: int
    """That were judged."""
    asked: int
    """Questions."""
    unusable: int
    """Of these, those that had no answer of the form asked for after all attempts, or that the server refused."""
    trouble: str | None
    """Why it ended early, said of the judge: `does not answer`."""


def judge_of(settings: Settings, training: Sequence[str]) -> Judge | None:
    """The judge that the settings name; None where none is named. The server is not asked yet.

    It is the LLM server's unless TWIN_JUDGE_URL names another, so nothing leaves for a host that nobody named. Raises InvalidInput
    for an address that is none.
    """
    if not settings.judge_model:
        return None
    changes: dict[str, object] = {"llm_model": settings.judge_model}
    if settings.judge_url is not None:
        changes |= {
            "llm_url": settings.judge_url,
            "llm_engine": settings.judge_engine,
            "llm_route": "chat",
            "llm_api_key": settings.judge_api_key,
        }
    client = settings.model_copy(update=changes)
    texts = spread([prose(text) for text in training], WORDS, SAMPLES)
    return Judge(
        model=settings.judge_model,
        where=_where(client.llm_base_url),
        settings=client,
        sample="\n\n".join(delimited(f"sample-{number}", _text(text)) for number, text in enumerate(texts, 1)),
    )


def judged(
    cases: Sequence[Case], answers: Mapping[str, Sequence[str]], judge: Judge, *, counts: Sequence[bool]
) -> Judged:
    """Judge the answers of every system, one per case in order, and grade the author's texts too.

    Of the cases that count, which are those with a style to measure, the first MOST. The score of a pair is 1 where the
    judge takes the answer for the author's in both orders, 0.5 where it contradicts itself, 0 otherwise: 0.5 on average cannot be told
    apart. An answer too short to have a style is 0, unasked. A server that stops answering ends the judging, and is no error:
    prompts that were judged for every system stand.
    """
    chosen = [at for at, measured in enumerate(counts) if measured][:MOST]
    return asyncio.run(_judge_all(cases, answers, judge, chosen))


def note(found: Judged, cases: Sequence[Case], judge: Judge, challenger: str) -> str:
    """What must be known to read the figures, without anybody's text."""
    who = f"The judge {judge.model} at {judge.where}"
    if not found.prompts:
        why = found.trouble or "had no prose of the author to compare with"
        return f"{who} {why}: nothing was judged, and that axis is missing."
    said = [
        (
            f"{who} compared {found.prompts} of {sum(not case.question for case in cases)} drafts of each system with the author's text, each pair in both orders, and "
            f"graded them. {found.unusable} of its {found.asked} answers could not be used."
        )
    ]
    taken = found.figures[challenger]["judge"]
    if np.isfinite(taken).any():
        mean = difference(taken, [case.document for case in cases])
        said.append(
            f"It took {challenger} for the author in {mean.mean:.2f} (95 % from {mean.low:.2f} to {mean.high:.2f}); 0.5 is one that "
            "cannot be told apart."
        )
    if found.trouble:
        said.append(f"Then it {found.trouble}: the rest was not judged.")
    return " ".join(said)


@dataclass(frozen=True, slots=True)
class _Question:
    """One request, and the form of its answer."""

    template: str
    values: Mapping[str, str]
    form: type[_Pick | _Grades]


async def _judge_all(
    cases: Sequence[Case], answers: Mapping[str, Sequence[str]], judge: Judge, chosen: Sequence[int]
) -> Judged:
    figures = {name: {metric: np.full(len(cases), np.nan) for metric in METRICS} for name in (*answers, AUTHOR)}
    judged_prompts = asked_for = unusable = 0
    trouble = None
    async with ChatClient(judge.settings) as client:
        gate = asyncio.Semaphore(AT_ONCE)
        for at in chosen:
            texts = {name: given[at] for name, given in answers.items()}
            questions = _questions(cases[at], texts, judge)
            found = await asyncio.gather(
                *(_ask(client, gate, question) for question in questions.values()), return_exceptions=True
            )
            trouble = _trouble(found)
            if trouble is not None:
                break
            usable = {key: one for key, one in zip(questions, found, strict=True) if isinstance(one, (_Pick, _Grades))}
            judged_prompts += 1
            asked_for += len(questions)
            unusable += len(questions) - len(usable)
            for name, text in {**texts, AUTHOR: cases[at].reference}.items():
                for metric, value in _scored(name, text, usable).items():
                    figures[name][metric][at] = value
    return Judged(figures=figures, prompts=judged_prompts, asked=asked_for, unusable=unusable, trouble=trouble)


def _questions(case: Case, texts: Mapping[str, str], judge: Judge) -> dict[tuple[str, str], _Question]:
    """All that is asked about one prompt, by system and by the answer's place in the pair, or `grades`."""
    found: dict[tuple[str, str], _Question] = {}
    request = delimited("request", asked(case.prompt))
    own = own_words(case.reference)
    for name, text in {**texts, AUTHOR: case.reference}.items():
        if text.strip():
            graded = {"request": request, "answer": delimited("text", text)}
            found[name, "grades"] = _Question(prompts.JUDGE_RATING, graded, _Grades)
        said = own_words(text)
        if name == AUTHOR or not enough(said):
            continue
        pair = _alike(said, own)
        for place, (first, second) in zip(_PLACES, (pair, pair[::-1]), strict=True):
            shown = {
                "sample": judge.sample,
                "first": delimited("first", first),
                "second": delimited("second", second),
            }
            found[name, place] = _Question(prompts.JUDGE_PAIR, shown, _Pick)
    return found


def _alike(one: Paragraphs, other: Paragraphs) -> tuple[str, str]:
    """Both texts cut to the length of the shorter: length, and where a model was stopped, would give it away."""
    words = min(WORDS, *(sum(len(paragraph.split()) for paragraph in text) for text in (one, other)))
    return _text(beginning(one, words)), _text(beginning(other, words))


def _text(paragraphs: Paragraphs) -> str:
    return "\n\n".join(paragraphs)


async def _ask(client: ChatClient, gate: asyncio.Semaphore, question: _Question) -> _Pick | _Grades | None:
    """The answer; None when none of three could be used. Raises ChatError."""
    template = prompts.load(question.template)
    opening = [
        Message(role="system", content=template.fill("system")),
        Message(role="user", content=template.fill("user", **question.values)),
    ]
    async with gate:
        return await filled(
            client,
            opening,
            partial(decoded, form=question.form),
            harmless=harmless,
            schema=_SCHEMAS[question.form],
            max_tokens=MAX_TOKENS,
        )


def _trouble(found: Sequence[Any]) -> str | None:
    """Why there is no use in going on. One question that is refused may be too long; when all are, it is the judge."""
    failed = [one for one in found if isinstance(one, BaseException)]
    for one in failed:
        if not isinstance(one, ChatError):
            raise one
    serious = next((one for one in failed if not isinstance(one, ChatRefused)), None)
    if serious is None and failed and len(failed) == len(found):
        serious = failed[0]
    return _WHY.get(type(serious), "failed") if serious is not None else None


def _scored(name: str, text: str, usable: Mapping[tuple[str, str], _Pick | _Grades]) -> dict[str, float]:
    """The figures of one answer to one prompt, as far as there are any."""
    found: dict[str, float] = {}
    if not text.strip():
        found |= {"judge_accuracy": 1.0, "judge_style": 1.0}
    grades = usable.get((name, "grades"))
    if isinstance(grades, _Grades):
        found |= {"judge_accuracy": float(grades.accuracy), "judge_style": float(grades.style)}
    if name == AUTHOR:
        return found
    if not enough(own_words(text)):
        return found | {"judge": 0.0}
    picks = [usable.get((name, place)) for place in _PLACES]
    if all(isinstance(pick, _Pick) for pick in picks):
        taken = [isinstance(pick, _Pick) and pick.author == place for pick, place in zip(picks, _PLACES, strict=True)]
        found["judge"] = sum(taken) / 2
    return found


def _where(base: str) -> str:
    """Host and port of the server, without a password that may stand in its address."""
    try:
        parts = urlsplit(base)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in {"http", "https"} or not host:
        raise InvalidInput(
            "The judge's address is none such as http://127.0.0.1:8000. Correct TWIN_JUDGE_URL (where it is unset, TWIN_LLM_URL), or "
            "unset TWIN_JUDGE_MODEL."
        )
    return f"{host}:{port}" if port else host
