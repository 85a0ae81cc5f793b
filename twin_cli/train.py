"""`twin train`: fine-tune on an author's dataset, with a dry run and a search; `twin compare`: two adapters side by side.

Training is a run of the graph's own assets (`twin_assets.launch`), in a process of its own. How far it is stands in the attempt's row,
which is what is shown here, whoever runs it.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import yaml

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_core.errors import InvalidInput, NotFound
from twin_core.models.bases import base_name, shown
from twin_core.records import Author, Difference, Split
from twin_core.runtime.stores import stores
from twin_core.settings import Settings, settings
from twin_core.store import adapters, datasets, registry
from twin_core.store.adapters import Adapter, Attempt
from twin_core.store.database import Database
from twin_core.store.datasets import Version
from twin_core.store.registry import Evaluation
from twin_core.training import launch
from twin_core.training.config import TrainingConfig, flat, load_config, profiles
from twin_core.training.estimate import DEVICES, GIB, estimate, seconds_of
from twin_core.training.job import Job, Kind

WORDS_TO_TOKENS = 1.5
"""Tokens per word of prose and code, before any tokenizer is at hand: for a dry run."""
LOOK_SECONDS = 0.5


def train(
    *,
    author: Slug = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="VERSION", help="Default: the current version.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="tiny, 0.5b, 8b, 14b, 32b, 70b, or a YAML file.")
    ] = None,
    dpo: Annotated[bool, typer.Option("--dpo", help="Preference optimisation, going on from an SFT adapter.")] = False,
    parent: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="With --dpo: from this adapter, not the newest.")
    ] = None,
    fraction: Annotated[float, typer.Option("--fraction", help="Only this part of the train side.")] = 1.0,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting of the profile, such as preference.beta=0.5."
        ),
    ] = None,
    search: Annotated[
        int, typer.Option("--search", metavar="TRIALS", help="Search for the settings that suit the author instead.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would need, for every size; train nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from the checkpoints of the very same training, or not.")
    ] = True,
    as_json: output.AsJson = False,
) -> None:
    """Fine-tune on an author's dataset and register the adapter as a version. It serves only once a person approved it."""
    here = settings()
    kind: Kind = "dpo" if dpo else "sft"
    name, changes = profile or here.training_profile, _changes(change or [])
    if not 0 < fraction <= 1:
        raise InvalidInput(f"A fraction is above 0 and at most 1, not {fraction:g}.")
    with stores(here) as opened:
        with opened.database.transaction() as conn:
            owner = chosen(conn, author)
        config = launch.config_for(opened.database, owner, name, changes, settings=here)
        if dry_run:
            version = _version(opened.database, owner, kind, dataset)
            _dry_run(opened.database, version, config, here, profile=name, fraction=fraction, as_json=as_json)
            return
        if search:
            job = launch.open_job(
                opened.database, owner, kind, config, settings=here, profile=name, dataset=dataset, fraction=fraction
            )
            _search(opened.database, owner, job, search, here, as_json=as_json)
            return
        options: dict[str, Any] = {"profile": name, "changes": changes, "fraction": fraction, "resume": resume}
        options |= {key: value for key, value in (("dataset", dataset), ("parent", parent)) if value is not None}
        attempt, adapter = _train(opened.database, owner, kind, options, here)
    if as_json:
        output.show_json(_plain(adapter))
        return
    figures = adapter.metrics
    output.show(
        f"v{adapter.version} ({adapter.kind}) of {owner.slug}: loss {figures['loss']:.3f}"
        + (f", on held-out examples {figures['held_out_loss']:.3f}" if "held_out_loss" in figures else "")
        + f"; {int(figures['tokens']):,} tokens in {figures['seconds']:.0f} s, {figures['tokens_per_second']:,.0f} tokens/s, "
        f"{figures['peak_memory'] / GIB:.1f} GiB."
    )
    if adapter.attempt_id != attempt.id:
        output.say("These are the weights of before, bit by bit: the same version.")


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter, such as v1.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    author: Slug = None,
    as_json: output.AsJson = False,
) -> None:
    """Compare two adapters: data, settings that differ, figures, scorecards. `twin models` lists those there are."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        found = [adapters.resolve_adapter(conn, owner.id, key) for key in (first, second)]
        measured = [registry.latest_evaluation(conn, owner.id, one.id) for one in found]
    if as_json:
        output.show_json(
            [{**_plain(one), "evaluation": output.plain(its)} for one, its in zip(found, measured, strict=True)]
        )
    else:
        rows = _side_by_side(*found) + _scorecards(*measured)
        output.show_rows(["", *(f"v{one.version}" for one in found)], rows, title=owner.slug)


def _side_by_side(first: Adapter, second: Adapter) -> list[list[object]]:
    """What the two are, then every setting that differs, then every figure."""
    told = [
        {"kind": one.kind, "base": shown(one.base_model), "dataset": one.version_id[:12], "part": f"{one.fraction:.0%}",
         "tainted": one.tainted_at is not None, "trained": one.created_at}
        for one in (first, second)
    ]  # fmt: skip
    settings_of = [flat(one.config) for one in (first, second)]
    differing = [name for name in settings_of[0] if settings_of[0].get(name) != settings_of[1].get(name)]
    figures = [{name: value for name, value in one.metrics.items() if name != "curve"} for one in (first, second)]
    rows: list[list[object]] = [[name, *(one[name] for one in told)] for name in told[0]]
    rows += [[name, *(str(one.get(name)) for one in settings_of)] for name in differing]
    rows += [[name, *(_figure(one.get(name)) for one in figures)] for name in {**figures[0], **figures[1]}]
    return rows


def _scorecards(first: Evaluation | None, second: Evaluation | None) -> list[list[object]]:
    """What the last scorecard of each found against each rival; nothing where neither was evaluated."""
    both = [one.against if one is not None else {} for one in (first, second)]
    names = [(rival, axis) for against in both for rival, axes in against.items() for axis in axes]
    return [
        [f"{axis}, against {rival}", *(_difference(against.get(rival, {}).get(axis)) for against in both)]
        for rival, axis in dict.fromkeys(names)
    ]


def _difference(found: Difference | None) -> str:
    return "" if found is None else f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _figure(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else ""


def _plain(adapter: Adapter) -> Mapping[str, Any]:
    return {name: value for name, value in output.plain(adapter).items() if name != "file_key"}


def _changes(given: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidInput(f"`--set {one}` is not NAME=VALUE, such as --set learning_rate=1e-4")
        inside, _, last = name.strip().rpartition(".")
        place = changes.setdefault(inside, {}) if inside else changes
        place[last] = _number(value) if isinstance(_number(value), float) else yaml.safe_load(value)
    return changes


def _number(value: str) -> float | str:
    """YAML takes 1e-4 for a word; people write it for a number."""
    try:
        return float(value) if "e" in value.lower() else value
    except ValueError:
        return value


# Training, as it is watched


def _train(
    database: Database, owner: Author, kind: Kind, options: Mapping[str, Any], here: Settings
) -> tuple[Attempt, Adapter]:
    from twin_assets.instance import instance
    from twin_assets.launch import train as launched

    with instance(here) as dagster, _watched(database, owner):
        done = launched(dagster, here, slug=owner.slug, kind=kind, options=options)
    if done.broken:
        raise InvalidInput("; ".join(why for _, why in done.broken.values()))
    with database.transaction() as conn:
        attempt = adapters.last_attempt(conn, owner.id)
        assert attempt is not None
        assert attempt.adapter_id is not None
        return attempt, adapters.adapter_by_id(conn, owner.id, attempt.adapter_id)


@contextmanager
def _watched(database: Database, owner: Author) -> Iterator[None]:
    """Show the progress of the attempt that begins now: on a screen as a bar, elsewhere as a line now and then."""
    ended, began = threading.Event(), datetime.now(UTC)

    def watch(display: Any, task: Any) -> None:
        while not ended.wait(LOOK_SECONDS):
            with database.transaction() as conn:
                attempt = adapters.last_attempt(conn, owner.id)
            if attempt is not None and attempt.started_at >= began and attempt.progress:
                said = attempt.progress
                display.update(task, description=_line(said), completed=said.get("step", 0), total=said.get("steps"))

    with output.progress() as display:
        task = display.add_task("starting the training process", total=None)
        thread = threading.Thread(target=watch, args=(display, task), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _line(said: Mapping[str, Any]) -> str:
    if said.get("phase") != "training" or said.get("loss") is None:
        return str(said.get("phase", ""))
    minutes, seconds = divmod(round(said["eta_seconds"]), 60)
    return f"loss {said['loss']:.3f}  {said['tokens_per_second']:,.0f} tokens/s  {minutes}:{seconds:02} left"


def _search(database: Database, owner: Author, job: Job, trials: int, here: Settings, *, as_json: bool) -> None:
    with _watched(database, owner):
        ended = subprocess.run(
            launch.search_command(job, trials), env=launch.environment(here), stdout=subprocess.DEVNULL, check=False
        )
    launch.searched(database, job, ended.returncode)
    with database.transaction() as conn:
        found = adapters.defaults_of(conn, owner.id, job.profile)
    if as_json:
        output.show_json(found)
    else:
        output.show_rows(
            ["setting", "found"], [[name, str(value)] for name, value in flat(found).items()], title=owner.slug
        )
        output.say(f"`twin train --profile {job.profile}` takes these for {owner.slug} from now on.")


# The dry run


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one profile would need for this author."""

    profile: str
    base: str
    peft: str
    parameters: int
    trainable: int
    share: float
    gib: float
    minutes: dict[str, float]
    """Device -> minutes, where it fits."""


def _version(database: Database, owner: Author, kind: Kind, named: str | None) -> Version:
    with database.transaction() as conn:
        if named is not None:
            return datasets.resolve_version(conn, owner.id, named)
        current = datasets.current_version(conn, owner.id, launch.KINDS[kind])
    if current is None:
        raise NotFound(f"{owner.slug} has no such dataset yet: twin dataset build --author {owner.slug}")
    return current


def _dry_run(
    database: Database,
    version: Version,
    config: TrainingConfig,
    here: Settings,
    *,
    profile: str,
    fraction: float,
    as_json: bool,
) -> None:
    with database.transaction() as conn:
        frame = datasets.read_version(conn, version.id, Split.TRAIN, fraction)
    tokens = round(WORDS_TO_TOKENS * (int(frame["words"].sum()) + _prompt_words(frame["prompt"].to_list())))
    others = [name for name in profiles() if name != profile]
    needs = [_need(name, load_config(name) if name != profile else config, tokens, here) for name in (profile, *others)]
    if as_json:
        output.show_json({"examples": frame.height, "tokens": tokens, "needs": needs})
        return
    output.show(f"Dataset {version.id[:12]}: {frame.height:,} examples, about {tokens:,} tokens each time through.")
    output.show_rows(
        ["profile", "base", "peft", "parameters", "trained", "share", "memory", *(one.name for one in DEVICES)],
        [
            [
                one.profile,
                one.base,
                one.peft,
                f"{one.parameters / 1e9:.2f} B",
                f"{one.trainable / 1e6:.1f} M",
                f"{one.share:.2%}",
                f"{one.gib:.1f} GiB",
                *(_time(one.minutes.get(device.name)) for device in DEVICES),
            ]
            for one in needs
        ],
    )
    output.say("Parameters are exact. Memory and time are estimates; expect them within a third.")


def _prompt_words(prompts: list[list[dict[str, str]]]) -> int:
    return sum(len(turn["content"].split()) for prompt in prompts for turn in prompt)


def _need(name: str, config: TrainingConfig, tokens: int, here: Settings) -> Need:
    found = estimate(config, launch.shape_for(config))
    return Need(
        profile=name,
        base=shown(base_name(here, config.base)),
        peft=config.peft,
        parameters=found.parameters,
        trainable=found.trainable,
        share=found.share,
        gib=found.bytes / GIB,
        minutes={
            device.name: seconds_of(found, device, round(tokens * config.epochs)) / 60
            for device in DEVICES
            if found.fits(device)
        },
    )


def _time(minutes: float | None) -> str:
    if minutes is None:
        return "too large"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
