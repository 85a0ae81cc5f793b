"""The axes that are off unless a setting names their model: a style embedding, and a judge.

Made before anything is generated, so that a wrong name costs nothing; measured after. Their figures stand beside those of the scorecard
and change nothing in it: the differences that promotion reads are made without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twin_core.evaluation import judge as judging
from twin_core.evaluation import style_embedding as embedding
from twin_core.evaluation.judge import Judge
from twin_core.evaluation.scorecard import Scorecard
from twin_core.evaluation.style_embedding import StyleEmbedding
from twin_core.promotion import AUTHOR
from twin_core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalAxes:
    """Those that the settings name; None for one that is off."""

    style: StyleEmbedding | None
    judge: Judge | None

    def beside(self, card: Scorecard) -> tuple[Scorecard, list[str]]:
        """The card with these figures too, and what must be known to read them. A judge that does not answer is a note and no error."""
        counts = np.isfinite(card.systems[AUTHOR].metrics["style"]).tolist()
        notes: list[str] = []
        systems = dict(card.systems)
        if self.style is not None:
            for name, one in systems.items():
                found = {embedding.METRIC: embedding.closeness(one.answers, self.style, counts=counts)}
                systems[name] = replace(one, metrics={**one.metrics, **found})
            notes.append(
                f"Style embedding: {self.style.model_id}, cosine with the centroid of {self.style.texts} of the author's training texts."
            )
        if self.judge is not None:
            answers = {name: one.answers for name, one in systems.items() if name != AUTHOR}
            judged = judging.judged(card.cases, answers, self.judge, counts=counts)
            for name, figures in judged.figures.items():
                systems[name] = replace(systems[name], metrics={**systems[name].metrics, **figures})
            notes.append(judging.note(judged, card.cases, self.judge, card.challenger))
        return replace(card, systems=systems), notes


def optional_axes(settings: Settings, training: Sequence[str]) -> OptionalAxes:
    """Load what the settings name, with what is known to be the author's text.

    Raises InvalidInput or ServiceUnavailable, saying what to do, for a style model that cannot be had or a judge's address that is none.
    """
    return OptionalAxes(style=embedding.style_embedding(settings, training), judge=judging.judge_of(settings, training))
