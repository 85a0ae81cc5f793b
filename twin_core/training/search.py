"""Which settings suit an author: a search by Optuna over a small declared space, whose best become the author's defaults.

Measured on documents of the train split that the trial did not see; the test split stays untouched, or the scorecard would later
measure how well it was searched. A search that was killed goes on where it was. `python -m twin_core.training.search JOB.json TRIALS`.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_core.errors import InvalidInput
from twin_core.training.config import TrainingConfig, parse_config
from twin_core.training.job import Kind

if TYPE_CHECKING:
    import polars as pl

VALIDATION = 0.2
"""Share of the train documents that trials are measured on."""
MEASURE = {"sft": "held_out_loss", "dpo": "held_out_preferred"}
"""SFT: loss on the validation answers. DPO: share of validation pairs in which the author's answer is preferred, because its loss
changes with beta by itself."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values from low to high, on a logarithmic scale."""

    low: float
    high: float


Space = Mapping[str, Range | Sequence[Any]]
"""Name of a setting (dotted where it is inside another) -> what may be tried."""


def space(kind: Kind, config: TrainingConfig) -> Space:
    """What is tried: about the profile's own values, and of those only what is known to matter for so little data."""
    if kind == "dpo":
        rate = config.preference.learning_rate
        return {
            "preference.beta": [0.05, 0.1, 0.2, 0.5],
            "preference.learning_rate": Range(rate / 5, rate * 5),
        }
    rate = config.learning_rate
    tried: dict[str, Range | Sequence[Any]] = {
        "learning_rate": Range(rate / 4, rate * 4),
        "epochs": [1.0, 2.0, 3.0, 6.0],
    }
    if config.peft != "none":
        tried["rank"] = [8, 16, 32, 64]
    return tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found."""

    changes: dict[str, Any]
    """To lay over the profile."""
    score: float
    trials: int


Measure = Callable[[TrainingConfig, Path], float]
"""Trains with a configuration in a folder and says how well it went, by MEASURE."""


def search(
    kind: Kind,
    config: TrainingConfig,
    folder: Path,
    measure: Measure,
    *,
    trials: int,
    tried: Space | None = None,
    tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> Found:
    """Try settings until `trials` of them were measured, those of an earlier search in `folder` included.

    The profile's own settings are the first trial, so that what is found is never worse on this measure. The rank's alpha is kept
    at its ratio. Raises InvalidInput for fewer than two trials.
    """
    if trials < 2:
        raise InvalidInput(f"A search compares at least 2 trials, not {trials}.")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = tried or space(kind, config)
    folder.mkdir(parents=True, exist_ok=True)
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "search.log"))
    study = optuna.create_study(
        study_name=kind,
        direction="minimize" if kind == "sft" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=4),
        storage=optuna.storages.JournalStorage(backend),
        load_if_exists=True,
    )
    own = {name: _value(config, name) for name in tried}
    if not study.trials and all(isinstance(what, Range) or own[name] in what for name, what in tried.items()):
        study.enqueue_trial(own)

    def objective(trial: Any) -> float:
        chosen = {name: _suggest(trial, name, what) for name, what in tried.items()}
        place = folder / f"trial-{trial.number}"
        try:
            score = measure(changed(config, chosen), place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        with suppress(ValueError):  # the first trial has no best one before it
            best = study.best_value
            score_so_far = min(best, score) if kind == "sft" else max(best, score)
            tell({"phase": f"trial {trial.number + 1} of {trials}: {score:.4f}, best {score_so_far:.4f}"})
        return score

    finished = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    study.optimize(objective, n_trials=max(0, trials - len(finished)))
    done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return Found(
        changes=nested(_with_alpha(config, study.best_params)), score=float(study.best_value), trials=len(done)
    )


def changed(config: TrainingConfig, chosen: Mapping[str, Any]) -> TrainingConfig:
    """The configuration with dotted settings changed."""
    said = config.model_dump()
    for name, value in _with_alpha(config, chosen).items():
        inside, _, last = name.rpartition(".")
        (said[inside] if inside else said)[last] = value
    return parse_config(said, where="the search")


def nested(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as they stand in a YAML file."""
    found: dict[str, Any] = {}
    for name, value in chosen.items():
        inside, _, last = name.rpartition(".")
        (found.setdefault(inside, {}) if inside else found)[last] = value
    return found


def _with_alpha(config: TrainingConfig, chosen: Mapping[str, Any]) -> dict[str, Any]:
    if "rank" not in chosen:
        return dict(chosen)
    return {**chosen, "alpha": max(1, round(config.alpha / config.rank * chosen["rank"]))}


def _value(config: TrainingConfig, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _suggest(trial: Any, name: str, what: Range | Sequence[Any]) -> Any:
    if isinstance(what, Range):
        return trial.suggest_float(name, what.low, what.high, log=True)
    return trial.suggest_categorical(name, list(what))


def validation_split(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(train, validation) of a train split, whole documents on one side. Raises InvalidInput below two documents."""
    documents = sorted(set(frame["document_id"]), key=lambda one: hashlib.sha256(str(one).encode()).hexdigest())
    if len(documents) < 2:
        raise InvalidInput(
            "A search needs examples of at least two documents. Collect more, or train with the profile as it is."
        )
    aside = documents[: max(1, round(VALIDATION * len(documents)))]
    held = frame["document_id"].is_in(aside)
    return frame.filter(~held), frame.filter(held)


def main(arguments: Sequence[str]) -> int:
    """Search under the attempt of a job and store the author's defaults."""
    from twin_core.training import process

    return process.main(arguments[:1], trials=int(arguments[1]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
