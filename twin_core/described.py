"""`twin.yaml`: authors and their sources as a file describes them, and what would have to change for them to be so.

Reading, the plan and carrying it out are three steps, so that a person sees the second before the third. The plan is made
from what is stored and what is described alone: the same file applied again plans nothing. What the file does not name
stays, unless it is asked otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection

from twin_core import identity
from twin_core.collect.registry import collector_for
from twin_core.errors import InvalidInput, TwinError
from twin_core.records import Author, Consent, Source
from twin_core.settings import Settings
from twin_core.store import authors


class SourceText(BaseModel):
    """A source, as the file describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    platform: str
    locator: str
    """A path that begins with `./` or `../` is meant from the file's own folder."""
    consent: str = Field(min_length=1)
    """On what the claim rests that the author wrote what is there, in words."""
    claimed_by: str | None = None
    schedule: str | None = None
    paused: bool = False
    options: dict[str, str | list[str]] = Field(default_factory=dict)


class AuthorText(BaseModel):
    """An author, as the file describes them."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: str = Field(min_length=1)
    language: str = "en"
    sources: list[SourceText] | None = None
    """`sources:` with nothing under it is no source."""


class Description(BaseModel):
    """The whole file: authors by slug."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    authors: dict[str, AuthorText]


Action = Literal["add", "change", "pause", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as described."""

    action: Action
    author: str
    what: str
    """`author`, or the source's platform and locator."""
    details: tuple[str, ...] = ()
    """Each field that changes: `schedule: none -> 0 6 * * *`."""
    described: Author | Source | None = None
    """What is to be, for what is added or changed."""
    stored: Author | Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is not as described, and what the file does not name."""

    changes: list[Change] = field(default_factory=list)
    left: list[Source] = field(default_factory=list)
    """Sources of described authors that the file does not name and that stay as they are."""


def read_description(path: Path, settings: Settings) -> dict[str, tuple[Author, list[Source]]]:
    """Authors and sources of a file, by slug, with locators in their canonical form.

    Raises InvalidInput naming file, line and field for everything that is wrong with it, at once.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" line {mark.line + 1}, column {mark.column + 1}"
        raise InvalidInput(
            f"{path}{where} is no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}."
        ) from error
    try:
        described = Description.model_validate(said)
    except ValidationError as error:
        wrong = [
            _told(path, node, one["loc"], one["msg"]) for one in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidInput("\n".join(wrong)) from error
    return _checked(path, node, described, settings)


def plan(
    conn: Connection,
    described: Mapping[str, tuple[Author, Sequence[Source]]],
    *,
    unnamed: Literal["leave", "pause", "forget"] = "leave",
) -> Plan:
    """What would have to change. `unnamed`: what becomes of sources that the file does not name."""
    found = Plan()
    there = {author.slug: author for author in authors.list_authors(conn)}
    for slug, (author, sources) in described.items():
        stored = there.get(slug)
        if stored is None:
            found.changes.append(Change(action="add", author=slug, what="author", described=author))
        elif details := _differences(stored, author, ("name", "language")):
            found.changes.append(
                Change(action="change", author=slug, what="author", details=details, described=author, stored=stored)
            )
        known = {} if stored is None else {one.id: one for one in authors.list_sources(conn, stored.id)}
        for source in sources:
            found.changes.extend(_change_of(slug, known.pop(source.id, None), source))
        for source in known.values():
            if unnamed == "leave" or (unnamed == "pause" and source.paused):
                found.left.append(source)
            else:
                found.changes.append(Change(action=unnamed, author=slug, what=_name(source), stored=source))
    return found


def carry_out(conn: Connection, changes: Sequence[Change]) -> None:
    """Make things as described, in the caller's transaction: all of it or nothing. `forget` is for the caller to do."""
    for change in changes:
        match change.action, change.described, change.stored:
            case "add", Author() as author, None:
                authors.add_author(conn, slug=author.slug, name=author.name, language=author.language)
            case "change", Author() as author, Author():
                authors.change_author(conn, author.id, name=author.name, language=author.language)
            case "add", Source() as source, None:
                added = authors.add_source(
                    conn,
                    author_id=source.author_id,
                    platform=source.platform,
                    locator=source.locator,
                    schedule=source.schedule,
                    options=source.options,
                    consent=source.consent,
                )
                authors.pause_source(conn, added.id, paused=source.paused)
            case "change", Source() as source, Source() as stored:
                _change_source(conn, stored, source)
            case "pause", None, Source() as stored:
                authors.pause_source(conn, stored.id, paused=True)
            case _:
                assert change.action == "forget", change


def _change_source(conn: Connection, stored: Source, source: Source) -> None:
    if stored.schedule != source.schedule:
        authors.set_schedule(conn, source.id, source.schedule, datetime.now(UTC))
    if stored.paused != source.paused:
        authors.pause_source(conn, source.id, paused=source.paused)
    if stored.options != source.options:
        authors.set_options(conn, source.id, source.options)
    if source.consent is not None and _claim(stored) != _claim(source):
        authors.set_consent(conn, source.id, source.consent)


def _change_of(slug: str, stored: Source | None, source: Source) -> list[Change]:
    if stored is None:
        details = [f"schedule: {source.schedule or 'none'}"]
        details += [f"options: {dict(source.options)}"] if source.options else []
        details += ["paused"] if source.paused else []
        return [Change(action="add", author=slug, what=_name(source), details=tuple(details), described=source)]
    details = list(_differences(stored, source, ("schedule", "paused", "options")))
    if _claim(stored) != _claim(source):
        details.append(f"consent: {_claim(stored)} -> {_claim(source)}")
    if not details:
        return []
    return [
        Change(
            action="change", author=slug, what=_name(source), details=tuple(details), described=source, stored=stored
        )
    ]


def _differences(stored: Author | Source, described: Author | Source, names: Sequence[str]) -> tuple[str, ...]:
    pairs = [(name, getattr(stored, name), getattr(described, name)) for name in names]
    return tuple(f"{name}: {_shown(old)} -> {_shown(new)}" for name, old, new in pairs if old != new)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(dict(value)) if isinstance(value, Mapping) else str(value)


def _claim(source: Source) -> str:
    return "" if source.consent is None else f"{source.consent.claimed_by}: {source.consent.proof}"


def _name(source: Source) -> str:
    return f"{source.platform} {source.locator}"


def _checked(
    path: Path, node: yaml.Node | None, described: Description, settings: Settings
) -> dict[str, tuple[Author, list[Source]]]:
    made: dict[str, tuple[Author, list[Source]]] = {}
    wrong: list[str] = []
    for slug, text in described.authors.items():
        try:
            authors.check_author(slug=slug, name=text.name, language=text.language)
        except InvalidInput as error:
            wrong.append(_told(path, node, ("authors", slug), str(error)))
        author = Author(id=identity.author_id(slug), slug=slug, name=text.name, language=text.language)
        sources: dict[object, Source] = {}
        for number, one in enumerate(text.sources or ()):
            where = ("authors", slug, "sources", number)
            try:
                source = _source(path, author, one, settings)
            except TwinError as error:
                wrong.append(_told(path, node, where, str(error)))
                continue
            if source.id in sources:
                wrong.append(_told(path, node, where, f"{_name(source)} is described twice."))
            sources[source.id] = source
        made[slug] = (author, list(sources.values()))
    if wrong:
        raise InvalidInput("\n".join(wrong))
    return made


def _source(path: Path, author: Author, text: SourceText, settings: Settings) -> Source:
    given = text.locator
    if given.startswith(("./", "../")):
        given = str((path.absolute().parent / given).resolve())
    locator = collector_for(text.platform).check(given, text.options, settings)
    if text.schedule is not None:
        authors.next_run(text.schedule, datetime.now(UTC))
    return Source(
        id=identity.source_id(author.id, text.platform, locator),
        author_id=author.id,
        platform=text.platform,
        locator=locator,
        schedule=text.schedule,
        options=text.options,
        consent=Consent(claimed_by=text.claimed_by or author.slug, proof=text.consent, claimed_at=datetime.now(UTC)),
        paused=text.paused,
    )


def _told(path: Path, node: yaml.Node | None, where: Sequence[str | int], what: str) -> str:
    """One mistake with its line and its field. Where the field is missing, the line of what it is missing in."""
    line = 1
    for step in where:
        found = _child(node, step)
        if found is None:
            break
        line, node = found
    return f"{path}, line {line}, {'.'.join(map(str, where)) or 'the file'}: {what}"


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(key.value) == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    return None
