"""Authors and their sources: rows in, records out.

Here: who there is, what they claim as theirs, and when a source is due. Not here: whether a platform exists or a
locator can work (`collect/registry.py`), and what was collected (`documents.py`, `ledger.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from croniter import croniter
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import RowMapping

from twin_core import identity
from twin_core.errors import InvalidInput, NotFound, Refused
from twin_core.records import Author, Consent, Source
from twin_core.store.tables import authors, document_locations, documents, sources

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2}")


def add_author(conn: Connection, *, slug: str, name: str, language: str = "en") -> Author:
    """Make an author; the same author added again is that author.

    Raises InvalidInput for a slug that cannot be a URL segment and a model name, a language that is no ISO 639-1
    code, and a slug that another name already has.
    """
    check_author(slug=slug, name=name, language=language)
    author = Author(id=identity.author_id(slug), slug=slug, name=name.strip(), language=language)
    values = {"id": author.id, "slug": slug, "name": author.name, "language": language}
    conn.execute(insert(authors).values(**values).on_conflict_do_nothing())
    stored = author_by_slug(conn, slug)
    if stored != author:
        raise InvalidInput(
            f"There is an author `{slug}` already: {stored.name} ({stored.language}). Choose another slug."
        )
    return stored


def check_author(*, slug: str, name: str, language: str) -> None:
    """Raise InvalidInput for what `add_author` would not take, whatever there is already."""
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(
            f"`{slug}` cannot be an author's slug. Use 1 to 63 lower-case letters, digits and hyphens, as in `jane-doe`."
        )
    if not name.strip():
        raise InvalidInput("An author needs a name: the one that readers know.")
    if not _LANGUAGE.fullmatch(language):
        raise InvalidInput(f"`{language}` is no ISO 639-1 language code. Use two letters, as in `en` or `de`.")


def change_author(conn: Connection, author_id: UUID, *, name: str, language: str) -> Author:
    """Give an author another name or language. Raises InvalidInput as `add_author` does."""
    check_author(slug=author_by_id(conn, author_id).slug, name=name, language=language)
    conn.execute(update(authors).where(authors.c.id == author_id).values(name=name.strip(), language=language))
    return author_by_id(conn, author_id)


def author_by_slug(conn: Connection, slug: str) -> Author:
    """The author with this slug. Raises NotFound, naming the slugs there are."""
    row = conn.execute(select(authors).where(authors.c.slug == slug)).mappings().one_or_none()
    if row is None:
        there = conn.execute(select(authors.c.slug).order_by(authors.c.slug).limit(20)).scalars().all()
        raise NotFound(f"There is no author `{slug}`. {_offer(there)}")
    return _author(row)


def author_by_id(conn: Connection, author_id: UUID) -> Author:
    """The author with this id. Raises NotFound."""
    row = conn.execute(select(authors).where(authors.c.id == author_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no author with the id {author_id}. `twin author list` shows those there are.")
    return _author(row)


def list_authors(conn: Connection) -> list[Author]:
    """Every author, by slug."""
    return [_author(row) for row in conn.execute(select(authors).order_by(authors.c.slug)).mappings()]


def add_source(
    conn: Connection,
    *,
    author_id: UUID,
    platform: str,
    locator: str,
    schedule: str | None = None,
    options: Mapping[str, str | list[str]] | None = None,
    consent: Consent | None = None,
    over: bool = True,
) -> Source:
    """Make a source, or give the one that is there this schedule, these options and this consent.

    With `over` false, the one that is there stays as it is. A scheduled source is due at once and from then on when its cron expression says. Raises Refused without
    consent, InvalidInput for a schedule that is no cron expression.
    """
    if consent is None or not consent.claimed_by.strip() or not consent.proof.strip():
        raise Refused(
            "A source is taken only with consent: say who claims the text as their own, and on what proof. "
            "On the command line: `--i-wrote-this`, or a proof: `--rel-me URL`, `--proof-file PATH`, `--token`."
        )
    if schedule is not None:
        next_run(schedule, datetime.now(UTC))
    values: dict[str, object] = {
        "schedule": schedule,
        "options": dict(options or {}),
        "consent_claimed_by": consent.claimed_by,
        "consent_proof": consent.proof,
        "consent_at": consent.claimed_at,
        "next_run_at": None if schedule is None else datetime.now(UTC),
    }
    source_id = identity.source_id(author_id, platform, locator)
    made = insert(sources).values(id=source_id, author_id=author_id, platform=platform, locator=locator, **values)
    if not over:
        conn.execute(made.on_conflict_do_nothing())
        return source_of(conn, author_id, source_id)
    row = conn.execute(made.on_conflict_do_update(index_elements=[sources.c.id], set_=values).returning(sources))
    return _source(row.mappings().one())


def list_sources(conn: Connection, author_id: UUID | None = None) -> list[Source]:
    """The sources of one author, or of all, oldest first."""
    found = select(sources).order_by(sources.c.created_at, sources.c.id)
    if author_id is not None:
        found = found.where(sources.c.author_id == author_id)
    return [_source(row) for row in conn.execute(found).mappings()]


def source_by_id(conn: Connection, source_id: UUID) -> Source:
    """The source with this id. Raises NotFound."""
    row = conn.execute(select(sources).where(sources.c.id == source_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no source {source_id}. `twin source list` shows those there are.")
    return _source(row)


def source_of(conn: Connection, author_id: UUID, source_id: UUID) -> Source:
    """The author's source with this id. Raises NotFound also where it is another's: nobody learns which ids there are."""
    row = conn.execute(select(sources).where(sources.c.id == source_id, sources.c.author_id == author_id))
    found = row.mappings().one_or_none()
    if found is None:
        raise NotFound(f"There is no source {source_id} of this author.")
    return _source(found)


def pause_source(conn: Connection, source_id: UUID, *, paused: bool) -> Source:
    """Stop a source from falling due, or let it again; by hand it can be collected either way."""
    conn.execute(update(sources).where(sources.c.id == source_id).values(paused=paused))
    return source_by_id(conn, source_id)


def set_schedule(conn: Connection, source_id: UUID, schedule: str | None, now: datetime) -> Source:
    """Give a source another cron expression, or none. It is due when the new one says so next, not at once.

    Raises InvalidInput for what is no cron expression.
    """
    due = None if schedule is None else next_run(schedule, now)
    conn.execute(update(sources).where(sources.c.id == source_id).values(schedule=schedule, next_run_at=due))
    return source_by_id(conn, source_id)


def set_options(conn: Connection, source_id: UUID, options: Mapping[str, str | list[str]]) -> Source:
    """Give a source these options in the place of those it has. Whether they fit its platform is for the caller to ask."""
    conn.execute(update(sources).where(sources.c.id == source_id).values(options=dict(options)))
    return source_by_id(conn, source_id)


def set_consent(conn: Connection, source_id: UUID, consent: Consent) -> Source:
    """Record who claims a source now, and on what proof."""
    conn.execute(
        update(sources)
        .where(sources.c.id == source_id)
        .values(consent_claimed_by=consent.claimed_by, consent_proof=consent.proof, consent_at=consent.claimed_at)
    )
    return source_by_id(conn, source_id)


def detach_source(conn: Connection, source_id: UUID) -> None:
    """Part the source from documents that are live elsewhere: they belong to a source that still has them.

    For a source whose locations are all gone (`collect.run.withdraw_source`). What is left is documents of its own.
    """
    names = {"source": source_id}
    conn.execute(
        text("""
            UPDATE warehouse.documents d SET source_id =
                   (SELECT l.source_id FROM warehouse.document_locations l
                     WHERE l.document_id = coalesce(d.merged_into, d.id) AND l.state = 'live' AND l.source_id <> :source
                     ORDER BY l.first_seen_at, l.source_id, l.native_id LIMIT 1)
             WHERE d.source_id = :source AND EXISTS
                   (SELECT FROM warehouse.document_locations l WHERE l.document_id = coalesce(d.merged_into, d.id)
                       AND l.state = 'live' AND l.source_id <> :source)
        """),
        names,
    )
    conn.execute(
        text("""
            DELETE FROM warehouse.document_locations l USING warehouse.documents d
             WHERE d.id = l.document_id AND d.state = 'live' AND l.source_id = :source AND l.state = 'gone'
        """),
        names,
    )


def remove_source(conn: Connection, source_id: UUID) -> None:
    """Remove a source with its runs and ledger. Raises Refused while it has documents: they go by forgetting only."""
    source = source_by_id(conn, source_id)
    held = conn.execute(
        select(
            select(documents.c.id).where(documents.c.source_id == source_id).exists()
            | select(document_locations.c.document_id).where(document_locations.c.source_id == source_id).exists()
        )
    ).scalar_one()
    if held:
        raise Refused(
            f"The source {source.platform} {source.locator} still has documents. Pause it (`twin source pause "
            f"{source_id}`), or remove it with all that only it gave (`twin source remove {source_id} --forget`)."
        )
    conn.execute(delete(sources).where(sources.c.id == source_id))


def due_sources(conn: Connection, now: datetime) -> list[Source]:
    """The scheduled sources whose time has come, longest waiting first; paused ones are never due."""
    found = select(sources).where(
        sources.c.schedule.is_not(None), sources.c.next_run_at <= now, sources.c.paused.is_(False)
    )
    return [_source(row) for row in conn.execute(found.order_by(sources.c.next_run_at, sources.c.id)).mappings()]


def schedule_next(conn: Connection, source_id: UUID, now: datetime) -> datetime | None:
    """Set when the source is due next, after `now`, and return it; None for a source without schedule."""
    source = source_by_id(conn, source_id)
    due = None if source.schedule is None else next_run(source.schedule, now)
    conn.execute(update(sources).where(sources.c.id == source_id).values(next_run_at=due))
    return due


def next_run(schedule: str, now: datetime) -> datetime:
    """The first time after `now` that a cron expression of five fields names, in UTC. Raises InvalidInput."""
    if len(schedule.split()) != 5 or not croniter.is_valid(schedule):
        raise InvalidInput(
            f"`{schedule}` is no cron expression. Use five fields (minute hour day month weekday, in UTC), as in "
            f"`0 6 * * *` for every day at six."
        )
    following = croniter(schedule, now.astimezone(UTC)).get_next(datetime)
    assert isinstance(following, datetime)
    return following


def _offer(slugs: Sequence[str]) -> str:
    if not slugs:
        return "There are none yet: make one with `twin author add SLUG --name NAME`."
    return "There are: " + ", ".join(slugs) + "."


def _author(row: RowMapping) -> Author:
    return Author(id=row["id"], slug=row["slug"], name=row["name"], language=row["language"])


def _source(row: RowMapping) -> Source:
    return Source(
        id=row["id"],
        author_id=row["author_id"],
        platform=row["platform"],
        locator=row["locator"],
        schedule=row["schedule"],
        options=row["options"],
        consent=Consent(claimed_by=row["consent_claimed_by"], proof=row["consent_proof"], claimed_at=row["consent_at"]),
        next_run_at=row["next_run_at"],
        paused=row["paused"],
    )
