"""The rules by which an item finds its document. Pure: changes a `Shelf` in memory and notes what to store.

Reading and writing the shelf is in `store/placement.py`, the run around it in `run.py`. The rules, in words:

- A document's text is the text of its first live location (the leading one). Others are further locations.
- A location never seen before, whose text a document of the same author and category has, is a further location of
  that document: a copy, a cross-post, or the new place of something moved. Else a document is minted there.
- The leading location changed: the document has a new revision. Another location changed: it leaves, and finds or
  mints its own document. One that a person merged stays where it was put, and its texts stay with the merged one.
- A document with no live location is gone; a location that comes back brings it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from twin_core import identity
from twin_core.records import Category, Found, Outcome, RawRevision
from twin_core.store.placement import Document, Place, RevisionRow, Shelf


@dataclass(frozen=True, slots=True)
class Copy:
    """A raw revision that is to be stored once more, as a revision of another document."""

    of: UUID
    revision_id: UUID
    document_id: UUID


@dataclass(slots=True)
class Placing:
    """One batch being placed. Read the shelf's touched rows, `raw` and `copies` from it when done."""

    author_id: UUID
    source_id: UUID
    shelf: Shelf
    touched_documents: set[UUID] = field(default_factory=set)
    touched_places: set[tuple[UUID, str]] = field(default_factory=set)
    raw: dict[UUID, RawRevision] = field(default_factory=dict)
    copies: dict[UUID, Copy] = field(default_factory=dict)
    revisions: dict[UUID, RevisionRow] = field(default_factory=dict)
    _minted: dict[UUID, int] = field(default_factory=dict)

    def take(self, found: Found, at: datetime) -> tuple[Outcome, UUID, str | None]:
        """Place one item. Returns its outcome, its document and, where it needs saying, a reason.

        `at` must grow from item to item: it decides which of two new locations leads.
        """
        here = self.shelf.places.get((self.source_id, found.native_id))
        if here is None:
            return self._settle(found, None, at)
        document = self.shelf.documents[here.document_id]
        if here.live:
            if found.content_hash == here.content_hash:
                self._seen(here, found.location, found.validators, at)
                if self._leading(document) is here and document.category is not found.category:
                    document.category = found.category
                    self._touch(document)
                    return Outcome.FETCHED, document.id, f"now of the category {found.category.value}"
                return Outcome.UNCHANGED, document.id, None
            if self._stays(here, document, found):
                return self._revise(here, document, found, at)
            return self._settle(found, here, at)
        others = self._live(document)
        if found.content_hash == document.content_hash or here.holder_id != document.id:
            return self._revise(here, document, found, at)
        if not others and self._with_text(found.category, found.content_hash) is None:
            return self._revise(here, document, found, at)
        return self._settle(found, here, at)

    def keep(self, native_id: str, validators: Mapping[str, str], at: datetime) -> UUID | None:
        """An item that the source says is unchanged. Returns its document, or None when it is not stored live."""
        here = self.shelf.places.get((self.source_id, native_id))
        if here is None or not here.live:
            return None
        self._seen(here, here.location, validators or here.validators, at)
        return here.document_id

    def mark(self, native_id: str, validators: Mapping[str, str]) -> UUID | None:
        """An item that could not be read, with what the next run must know. Returns its document, where it has one."""
        here = self.shelf.places.get((self.source_id, native_id))
        if here is not None and here.live and validators:
            here.validators = validators
            self.touched_places.add(here.key)
        return None if here is None else here.document_id

    def leave(self, native_id: str) -> tuple[UUID, str] | None:
        """An item that is gone. Returns its document and its location, or None when it was not stored live."""
        here = self.shelf.places.get((self.source_id, native_id))
        if here is None or not here.live:
            return None
        here.live = False
        self.touched_places.add(here.key)
        self._follow(self.shelf.documents[here.document_id], here.last_seen_at)
        return here.document_id, here.location

    def split(self, native_id: str, at: datetime) -> UUID:
        """Take a location whose text is not its document's out of it. Returns the document it then has."""
        here = self.shelf.places[self.source_id, native_id]
        old = self.shelf.documents[here.document_id]
        if not here.live or here.content_hash == old.content_hash:
            return old.id
        old_revision = here.revision_id
        home = self._with_text(old.category, here.content_hash)
        if home is None:
            home = self._mint(here.native_id, here.mints, old.category, here.content_hash)
            self._copy(old_revision, here, home, at)
        self._move(here, home, at)
        self._follow(home, at)
        self._follow(old, at)
        return home.id

    def _stays(self, here: Place, document: Document, found: Found) -> bool:
        merged_by_hand = here.holder_id != document.id
        leading = self._leading(document) is here
        return leading or merged_by_hand or found.content_hash == document.content_hash

    def _settle(self, found: Found, here: Place | None, at: datetime) -> tuple[Outcome, UUID, str | None]:
        """A location that has no document yet, or leaves the one it had: to the one with its text, or a new one."""
        mints = 0 if here is None else here.mints
        home = self._with_text(found.category, found.content_hash)
        reason = None if home is None else "the text of a document that is known: a further location of it"
        if home is None:
            home = self._mint(found.native_id, mints, found.category, found.content_hash)
            self._store(found, home, at)
        old = None if here is None else self.shelf.documents[here.document_id]
        if here is None:
            here = Place(
                source_id=self.source_id,
                native_id=found.native_id,
                document_id=home.id,
                revision_id=home.head_revision_id,
                holder_id=home.id,
                location=found.location,
                content_hash=found.content_hash,
                validators={},
                live=True,
                mints=0,
                first_seen_at=at,
                last_seen_at=at,
            )
            self.shelf.places[here.key] = here
        here.content_hash = found.content_hash
        self._move(here, home, at)
        self._seen(here, found.location, found.validators, at)
        self._follow(home, at)
        if old is not None and old.id != home.id:
            self._follow(old, at)
        return Outcome.FETCHED, home.id, reason

    def _revise(self, here: Place, document: Document, found: Found, at: datetime) -> tuple[Outcome, UUID, None]:
        """The location stays with its document and has another text, or comes back."""
        own = here.holder_id == document.id or found.content_hash == document.content_hash
        holder = document if own else self.shelf.documents.get(here.holder_id, document)
        self._store(found, holder, at)
        here.holder_id = holder.id
        here.revision_id = identity.revision_id(holder.id, found.content_hash)
        here.content_hash = found.content_hash
        if not here.live and self._live(document):
            here.first_seen_at = at  # it comes back to a document that another location leads now
        here.live = True
        self._seen(here, found.location, found.validators, at)
        if self._leading(document) is here and document.category is not found.category:
            document.category = found.category
        self._follow(document, at)
        return Outcome.FETCHED, document.id, None

    def _mint(self, native_id: str, mints: int, category: Category, content_hash: str) -> Document:
        occurrence = mints
        while (minted := identity.document_id(self.source_id, native_id, occurrence)) in self.shelf.documents:
            occurrence += 1
        document = Document(
            id=minted,
            source_id=self.source_id,
            category=category,
            state="live",
            head_revision_id=identity.revision_id(minted, content_hash),
            content_hash=content_hash,
        )
        self.shelf.documents[minted] = document
        self._minted[minted] = occurrence
        self._touch(document)
        return document

    def _move(self, here: Place, home: Document, at: datetime) -> None:
        occurrence = self._minted.get(home.id)
        if occurrence is not None and home.id == identity.document_id(self.source_id, here.native_id, occurrence):
            here.mints = occurrence + 1
        here.document_id = here.holder_id = home.id
        here.revision_id = home.head_revision_id
        here.live = True
        here.first_seen_at = at
        self.touched_places.add(here.key)

    def _seen(self, here: Place, location: str, validators: Mapping[str, str], at: datetime) -> None:
        here.location, here.validators, here.last_seen_at = location, validators, at
        self.touched_places.add(here.key)

    def _follow(self, document: Document, at: datetime) -> None:
        """Make the document what its leading location says: its text, or gone."""
        leading = self._leading(document)
        self._touch(document)
        if leading is None:
            document.state = "gone"
            return
        document.state = "live"
        if leading.holder_id != document.id:
            own = identity.revision_id(document.id, leading.content_hash)
            if own != document.head_revision_id:
                self._copy(leading.revision_id, leading, document, at)
            leading.revision_id, leading.holder_id = own, document.id
            self.touched_places.add(leading.key)
        document.head_revision_id = leading.revision_id
        document.content_hash = leading.content_hash

    def _store(self, found: Found, document: Document, at: datetime) -> None:
        revision = identity.revision_id(document.id, found.content_hash)
        self._note_revision(revision, document, (self.source_id, found.native_id), found.content_hash, at)
        self.raw.setdefault(
            revision,
            RawRevision(
                id=revision,
                document_id=document.id,
                author_id=self.author_id,
                source_id=self.source_id,
                native_id=found.native_id,
                location=found.location,
                category=found.category,
                media_type=found.media_type,
                body=found.body,
                content_hash=found.content_hash,
                title=found.title,
                written_at=found.written_at,
                modified_at=found.modified_at,
                metadata=found.metadata,
                fetched_at=at,
            ),
        )

    def _copy(self, of: UUID, place: Place, document: Document, at: datetime) -> None:
        revision = identity.revision_id(document.id, place.content_hash)
        if revision not in self.copies:
            self.copies[revision] = Copy(of, revision, document.id)
            self._note_revision(revision, document, place.key, place.content_hash, at)

    def _note_revision(
        self, revision: UUID, document: Document, where: tuple[UUID, str], content_hash: str, at: datetime
    ) -> None:
        self.revisions.setdefault(
            revision,
            RevisionRow(
                id=revision,
                document_id=document.id,
                source_id=where[0],
                native_id=where[1],
                content_hash=content_hash,
                fetched_at=at,
            ),
        )

    def _touch(self, document: Document) -> None:
        self.touched_documents.add(document.id)

    def _live(self, document: Document) -> list[Place]:
        places = [place for place in self.shelf.places.values() if place.document_id == document.id and place.live]
        return sorted(places, key=lambda place: (place.first_seen_at, str(place.source_id), place.native_id))

    def _leading(self, document: Document) -> Place | None:
        return next(iter(self._live(document)), None)

    def _with_text(self, category: Category, content_hash: str) -> Document | None:
        """The document that has this text: a live one if there is one, else one that is gone."""
        having = [
            document
            for document in self.shelf.documents.values()
            if document.content_hash == content_hash and document.category is category and document.state != "merged"
        ]
        return min(having, key=lambda document: (document.state != "live", str(document.id)), default=None)
