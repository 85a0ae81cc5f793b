"""`twin dataset`: build what a twin learns from, see what it is made of, compare two versions, take one out.

A build is a run of the graph's own assets (`twin_assets.launch`); the rest reads the versions that are stored.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from twin_cli import output
from twin_cli.authors import Slug, chosen
from twin_cli.terminal import harmless
from twin_core.datasets import versions
from twin_core.errors import InvalidInput
from twin_core.records import ExampleKind
from twin_core.runtime.stores import stores
from twin_core.settings import settings
from twin_core.store import datasets as stored
from twin_core.store import facts

dataset = typer.Typer(no_args_is_help=True, help="Build, compare and export what a twin learns from.")

Key = Annotated[str, typer.Argument(metavar="VERSION", help="A dataset version: its id or the beginning of it.")]
Fraction = Annotated[
    float, typer.Option("--fraction", help="Only this part of the train side; smaller ones lie within larger ones.")
]
SHOWN = 12
"""Characters of a version's id in a table."""


class Form(StrEnum):
    """The forms in which a version can be taken out."""

    PARQUET = "parquet"
    TRL = "trl"
    ALPACA = "alpaca"


@dataset.command()
def build(
    author: Slug = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Publish also a set below 80 % of the last one.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make every example anew; answers of a language model stay kept.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Build the author's datasets from what is collected now; publish what is new and passes its checks."""
    from twin_assets.instance import instance
    from twin_assets.launch import build_datasets

    here = settings()
    with stores(here) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
    with instance(here) as dagster, output.progress() as display:

        def tell(stage: str) -> object:
            task = display.add_task(f"{owner.slug}: {stage.replace('_', ' ')}", total=None)
            return lambda done, total: display.update(task, completed=done, total=total)

        done = build_datasets(
            dagster, here, slug=owner.slug, allow_shrink=allow_shrink, fresh=fresh, tell=tell  # type: ignore[arg-type]
        )  # fmt: skip
    if as_json:
        output.show_json(done)
    else:
        for name, said in done.published.items():
            _show_build(name, said)
        for step, (_, why) in done.broken.items():
            output.warn(f"{step}: {why}")
    if done.broken:
        output.finish(output.PARTLY)
    if not done.published.get("instruct_dataset", {}).get("version"):
        output.finish(output.USAGE)


def _show_build(name: str, said: object) -> None:
    assert isinstance(said, dict)
    if "version" not in said:
        output.show(f"{name}: {said['outcome']}")
        return
    output.show(
        f"{name}: {said['outcome']}, version {said['version'][:SHOWN]} with {said['examples']:,} examples of "
        f"{said['documents']:,} documents in {said['seconds']:.1f} s"
    )
    for table in ("steps", "drops"):
        if table in said and said["outcome"] == "published":
            output.show(f"\n{table}\n{said[table]}\n")
    if "trouble" in said:
        output.warn(f"Instructions were made by rule from there on: {said['trouble']}")


@dataset.command("list")
def list_(
    author: Slug = None,
    kind: Annotated[ExampleKind | None, typer.Option("--kind")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: output.AsJson = False,
) -> None:
    """List dataset versions, the current ones first."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        found = stored.list_versions(conn, chosen(conn, author).id, kind, limit=limit)
    if as_json:
        output.show_json(found)
        return
    output.show_rows(
        ["version", "kind", "examples", "train", "test", "published", "state"],
        [
            [
                one.id[:SHOWN], one.kind, one.examples, *_sides(one), one.published_at,
                "tainted" if one.tainted_at else "whole",
            ]
            for one in found
        ],
        empty="No dataset version yet. `twin dataset build` makes one.",
    )  # fmt: skip


def _sides(one: stored.Version) -> list[int]:
    counted = one.manifest["examples"].get(one.kind.value, {})
    return [counted.get("train", 0), counted.get("test", 0)]


@dataset.command()
def show(
    version: Key,
    author: Slug = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="How many examples to show.")] = 3,
    as_json: output.AsJson = False,
) -> None:
    """Show what a version is made of, what was left out and why, and some of its examples."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        found = stored.resolve_version(conn, chosen(conn, author).id, version)
        drops = stored.drops_by_reason(conn, found.id)
        rows = stored.read_version(conn, found.id).head(samples).to_dicts()
    if as_json:
        output.show_json({"version": found, "drops": drops, "samples": rows})
        return
    output.show(f"{found.id}\n{found.kind}, published {found.published_at:%Y-%m-%d %H:%M}")
    if found.tainted_at:
        output.warn(f"Tainted since {found.tainted_at:%Y-%m-%d}: a document in it was forgotten.")
    for name in ("by_category", "by_origin"):
        output.show_rows(
            [name.removeprefix("by_"), "train", "test"],
            [[one, counted["train"], counted["test"]] for one, counted in found.manifest[name].items()],
        )
    output.show_rows(["left out because", "passages"], [[why, count] for why, count in drops.items()], empty="")
    for row in rows:
        task = row["prompt"][-1]["content"].rpartition("\n\n")[2]
        answer = row.get("completion") or row.get("chosen")
        output.show(harmless(f"\n[{row['split']}] {row['title'] or ''}\n{task}\n  {str(answer)[:400]}"))


@dataset.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="FROM")],
    other: Annotated[str, typer.Argument(metavar="TO")],
    author: Slug = None,
    as_json: output.AsJson = False,
) -> None:
    """Say which examples came, went and moved from one version to another, and why."""
    with stores(settings()) as opened, opened.database.transaction() as conn:
        owner = chosen(conn, author)
        before, after = (stored.resolve_version(conn, owner.id, key) for key in (one, other))
        found = versions.diff(conn, before, after)
        ids: list[UUID] = [change.document_id for change in found if change.document_id is not None]
        places = facts.places_of(conn, ids)
    if as_json:
        output.show_json({"from": before.id, "to": after.id, "changes": found})
        return
    output.show_rows(
        ["change", "examples", "document", "why"],
        [
            [
                change.change, change.examples,
                harmless(places.get(change.document_id, str(change.document_id))) if change.document_id else "",
                change.why,
            ]
            for change in found
        ],
        empty="The versions have the same examples on the same sides.",
    )  # fmt: skip
    total = Counter[str]()
    for change in found:
        total[change.change] += change.examples
    output.say(", ".join(f"{count} {name}" for name, count in total.items()))


@dataset.command()
def export(
    version: Key,
    *,
    author: Slug = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write one file per side into.")] = None,
    form: Annotated[Form, typer.Option("--format", help="parquet, or JSON lines in the shape of trl or alpaca.")] = (
        Form.PARQUET
    ),
    hub: Annotated[
        str | None, typer.Option("--hub", metavar="OWNER/NAME", help="Push to this Hugging Face dataset instead.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --hub: make it readable by everybody.")] = False,
    fraction: Fraction = 1.0,
    as_json: output.AsJson = False,
) -> None:
    """Write a version to files, or push it to the Hugging Face Hub, private unless --public."""
    from twin_core.datasets.cards import card
    from twin_core.datasets.exports import push_to_hub, write_export

    if (to is None) == (hub is None):
        raise InvalidInput("Say where to: --to FOLDER, or --hub OWNER/NAME.")
    here = settings()
    with stores(here) as opened, opened.database.transaction() as conn:
        found = stored.resolve_version(conn, chosen(conn, author).id, version)
        frame = stored.read_version(conn, found.id, fraction=fraction)
    if found.tainted_at:
        output.warn("This version is tainted: what was forgotten since is missing from the export.")
    if hub is not None:
        written = [push_to_hub(frame, hub, card=card(found), version_id=found.id, settings=here, public=public)]
    else:
        assert to is not None
        written = [str(place) for place in write_export(frame, to, form.value)]
        place = to / "README.md"
        if not place.exists():
            place.write_text(card(found), encoding="utf-8")
            written.append(str(place))
    if as_json:
        output.show_json({"version": found.id, "examples": frame.height, "written": written})
        return
    for one in written:
        output.show(one)
