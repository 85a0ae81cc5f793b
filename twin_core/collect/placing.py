"""The rules by which an item finds its document. Pure: changes a `Shelf` in memory and notes what to store.

Reading and writing the shelf is in `store/placement.py`, the run around it in `run.py`, what two items have in common in
`kinship.py`. The rules, in words:

- A location never seen before is a further location of the one document of the same author and category that, in this
  order: shares an address with it; has the platform's id of it; says the very same; or, in another source, says nearly
  the same. Else a document is minted there. The ground is recorded with its evidence (`joined_by`).
- One source names each of its items once. So an address or a likeness joins items of different sources only, never a
  second item of a source that the document has one of, and an address that leads to two documents leads to none.
- A document's text is that of its leading location: the first live one, unless another source has a text that is newer,
  or the first one is cut short beside another. Within one source the first one leads. What a person joined never leads
  while something else is there.
- The leading location changed: the document has a new revision. Another location changed: it stays while what it has in
  common with the others holds, else it leaves, and finds or mints its own document. So does one whose document has
  changed. What a person joined or split off stays as they said.
- A document with no live location is gone; a location that comes back brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from twin_core import identity
from twin_core.collect.kinship import similarity, strangers
from twin_core.errors import Refused
from twin_core.records import Category, Found, Outcome, RawRevision
from twin_core.store.placement import Document, Joined, Marks, Place, RevisionRow, Shelf
from twin_core.text.fingerprint import SIMILAR

HELD = 0.5
"""Likeness below which two locations that met by their texts part again. Below SIMILAR: an edit at one of them must not
make two documents today and one tomorrow."""
WHOLE = 0.7
"""A text with fewer than this share of the words of the fullest one is taken for cut short: a feed's teaser, the free
part of a paid article. No edit that is a new version of an article takes out a third of it without a word elsewhere."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A raw revision that is to be stored once more, as a revision of another document."""

    of: UUID
    revision_id: UUID
    document_id: UUID


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a location belongs to a document, and what that rests on."""

    joined_by: Joined
    evidence: str | None = None


_WORDS = {
    Joined.CANONICAL_URL: "the address of a document that is known: a further location of it",
    Joined.PLATFORM_ID: "the platform's id of a document that is known: a further location of it",
    Joined.SAME_TEXT: "the text of a document that is known: a further location of it",
    Joined.NEAR_DUPLICATE: "nearly the text of a document that is known: a further location of it",
}


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

    def take(self, found: Found, marks: Marks, at: datetime) -> tuple[Outcome, UUID, str | None]:
        """Place one item. Returns its outcome, its document and, where it needs saying, a reason.

        `at` must grow from item to item: it decides which of two new locations leads. For an item whose text is
        stored already, `marks` may lack those of the text.
        """
        here = self.shelf.places.get((self.source_id, found.native_id))
        if here is None:
            return self._settle(found, marks, None, at)
        document = self.shelf.documents[here.document_id]
        if here.live and found.content_hash == here.content_hash:
            self._seen(here, found.location, found.validators, at)
            here.marks = replace(
                here.marks,
                canonical_url=marks.canonical_url or here.marks.canonical_url,
                address=marks.address,
                platform_id=marks.platform_id or here.marks.platform_id,
            )
            if self._leading(document) is here and document.category is not found.category:
                document.category = found.category
                self._touch(document)
                return Outcome.FETCHED, document.id, f"now of the category {found.category.value}"
            return Outcome.UNCHANGED, document.id, None
        ground = self._held(here, document, found, marks)
        if ground is None:
            return self._settle(found, marks, here, at)
        self._stand(here, ground)
        return self._revise(here, document, found, marks, at)

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

    def holds(self, native_id: str) -> bool:
        """Whether `part` would leave a location as it stands."""
        here = self.shelf.places[self.source_id, native_id]
        document = self.shelf.documents[here.document_id]
        if not here.live or here.content_hash == document.content_hash or self._leading(document) is here:
            return True
        ground = self._in_common(here, document, here.marks)
        return ground is not None and ground.joined_by is here.joined_by

    def part(self, native_id: str, at: datetime) -> UUID | None:
        """Take a location whose text is not its document's out of it, unless it holds there by what they have in common.

        Returns the document it then has, or None when it stays.
        """
        here = self.shelf.places[self.source_id, native_id]
        old = self.shelf.documents[here.document_id]
        if not here.live or here.content_hash == old.content_hash or self._leading(old) is here:
            return None
        ground = self._in_common(here, old, here.marks)
        if ground is not None:
            self._stand(here, ground)
            return None
        found = self._home(old.category, here.content_hash, here.marks, leaving=old.id)
        home, ground = found or (self._mint(here.native_id, here.mints, old.category, here.content_hash), _MINTED)
        self._leave_for(here, home, ground, at)
        return home.id

    def split(self, native_id: str, at: datetime) -> UUID:
        """A person says that this location is a document of its own. It holds whatever is collected later.

        Raises Refused when it is not there, or the only one.
        """
        here = self.shelf.places.get((self.source_id, native_id))
        if here is None or not here.live:
            raise Refused(f"`{native_id}` is not there any more, so there is nothing to split.")
        old = self.shelf.documents[here.document_id]
        if len(self._live(old)) == 1:
            raise Refused(f"`{native_id}` is the only location of its document already.")
        home = self._mint(here.native_id, here.mints, old.category, here.content_hash)
        self._leave_for(here, home, Ground(Joined.BY_HAND, f"split from {old.id}"), at)
        return home.id

    def _leave_for(self, here: Place, home: Document, ground: Ground, at: datetime) -> None:
        """Move a location with the text that it has."""
        old = self.shelf.documents[here.document_id]
        if home.id in self._minted or home.content_hash != here.content_hash:
            self._copy(here.revision_id, here, home, at)
        self._move(here, home, ground, at)
        self._follow(home, at)
        self._follow(old, at)

    def _held(self, here: Place, document: Document, found: Found, marks: Marks) -> Ground | None:
        """What keeps a known location at its document although it says something else now, or comes back."""
        as_before = Ground(here.joined_by, here.evidence)
        if here.joined_by is Joined.BY_HAND or (here.live and self._leading(document) is here):
            return as_before
        if found.content_hash == document.content_hash:
            return Ground(Joined.SAME_TEXT) if here.joined_by is Joined.NEAR_DUPLICATE else as_before
        others = [place for place in self._live(document) if place is not here]
        if not here.live and any(place.joined_by is Joined.BY_HAND for place in others):
            return as_before  # a person joined them to this one
        if not others:
            known = self._home(found.category, found.content_hash, marks, leaving=document.id)
            return as_before if known is None else None
        return self._in_common(here, document, marks)

    def _in_common(self, here: Place, document: Document, marks: Marks) -> Ground | None:
        """What a location has in common with the others of its document, when it says something else than they."""
        others = [place for place in self._live(document) if place is not here]
        elsewhere = [place for place in others if place.source_id != here.source_id]
        ground = None
        if shared := {url for place in elsewhere for url in marks.addresses & place.marks.addresses}:
            ground = Ground(Joined.CANONICAL_URL, min(shared))
        elif marks.platform_id is not None and any(place.marks.platform_id == marks.platform_id for place in others):
            ground = Ground(Joined.PLATFORM_ID, marks.platform_id)
        else:
            leading = self._lead(others)[0]
            if leading in elsewhere and (alike := similarity(marks, leading.marks)) >= HELD:
                ground = Ground(Joined.NEAR_DUPLICATE, _likeness(alike, leading))
        if ground is not None and here.joined_by is Joined.MINTED:
            return _MINTED
        return ground

    def _home(
        self, category: Category, content_hash: str, marks: Marks, *, leaving: UUID | None
    ) -> tuple[Document, Ground] | None:
        """The document to which a new location belongs, or one that leaves its own; None when it is to be minted."""
        there = [place for place in self.shelf.places.values() if self._may_join(place, category, leaving)]
        occupied = {place.document_id for place in there if place.live and place.source_id == self.source_id}
        elsewhere = [
            place for place in there if place.source_id != self.source_id and place.document_id not in occupied
        ]
        at_address = [place for place in elsewhere if marks.addresses & place.marks.addresses]
        at_address = [place for place in at_address if not strangers(marks, place.marks)]
        if (home := self._only_document(at_address)) is not None:
            shared = {url for place in at_address for url in marks.addresses & place.marks.addresses}
            return home, Ground(Joined.CANONICAL_URL, min(shared))
        if marks.platform_id is not None:
            same_id = [place for place in there if place.marks.platform_id == marks.platform_id]
            if (home := self._only_document(same_id)) is not None:
                return home, Ground(Joined.PLATFORM_ID, marks.platform_id)
        if (home := self._with_text(category, content_hash)) is not None:
            return home, Ground(Joined.SAME_TEXT)
        bands = frozenset(marks.bands)  # comparing whole signatures is for those that may be alike
        near = [place for place in elsewhere if place.live and not bands.isdisjoint(place.marks.bands)]
        alike = [(similarity(marks, place.marks), place) for place in near]
        best = max(alike, key=lambda one: (one[0], str(one[1].document_id)), default=None)
        if best is not None and best[0] >= SIMILAR:
            return self.shelf.documents[best[1].document_id], Ground(Joined.NEAR_DUPLICATE, _likeness(*best))
        return None

    def _may_join(self, place: Place, category: Category, leaving: UUID | None) -> bool:
        document = self.shelf.documents[place.document_id]
        return document.category is category and document.state != "merged" and document.id != leaving

    def _only_document(self, places: Iterable[Place]) -> Document | None:
        """The one document of these places; of several the only live one. None: there is none, or no telling."""
        found = {place.document_id: self.shelf.documents[place.document_id] for place in places}
        live = [document for document in found.values() if document.state == "live"]
        fitting = live or list(found.values())
        return fitting[0] if len(fitting) == 1 else None

    def _settle(self, found: Found, marks: Marks, here: Place | None, at: datetime) -> tuple[Outcome, UUID, str | None]:
        """A location that has no document yet, or leaves the one it had: to one that is known, or a new one."""
        old = None if here is None else self.shelf.documents[here.document_id]
        known = self._home(found.category, found.content_hash, marks, leaving=None if old is None else old.id)
        mints = 0 if here is None else here.mints
        home, ground = known or (self._mint(found.native_id, mints, found.category, found.content_hash), _MINTED)
        if known is None or home.content_hash != found.content_hash:
            self._store(found, home, at)
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
        here.content_hash, here.marks, here.changed_at = found.content_hash, marks, _stated(found, at)
        self._move(here, home, ground, at)
        self._seen(here, found.location, found.validators, at)
        self._follow(home, at)
        if old is not None and old.id != home.id:
            self._follow(old, at)
        return Outcome.FETCHED, home.id, _WORDS.get(ground.joined_by)

    def _revise(
        self, here: Place, document: Document, found: Found, marks: Marks, at: datetime
    ) -> tuple[Outcome, UUID, None]:
        """The location stays with its document and has another text, or comes back."""
        self._store(found, document, at)
        if found.content_hash != here.content_hash:
            here.changed_at = _stated(found, at) or at
        here.holder_id = document.id
        here.revision_id = identity.revision_id(document.id, found.content_hash)
        here.content_hash, here.marks = found.content_hash, marks
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

    def _move(self, here: Place, home: Document, ground: Ground, at: datetime) -> None:
        occurrence = self._minted.get(home.id)
        if occurrence is not None and home.id == identity.document_id(self.source_id, here.native_id, occurrence):
            here.mints = occurrence + 1
        here.document_id = here.holder_id = home.id
        here.revision_id = identity.revision_id(home.id, here.content_hash)
        here.live = True
        here.first_seen_at = at
        self._stand(here, ground)

    def _stand(self, here: Place, ground: Ground) -> None:
        here.joined_by, here.evidence = ground.joined_by, ground.evidence
        self.touched_places.add(here.key)

    def _seen(self, here: Place, location: str, validators: Mapping[str, str], at: datetime) -> None:
        here.location, here.validators, here.last_seen_at = location, validators, at
        self.touched_places.add(here.key)

    def _follow(self, document: Document, at: datetime) -> None:
        """Make the document what its leading location says: its text, or gone."""
        leading, why = self._lead(self._live(document))
        self._touch(document)
        for place in self.shelf.places.values():
            leads = why if place is leading else None
            if place.document_id == document.id and place.leads != leads:
                place.leads = leads
                self.touched_places.add(place.key)
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
        return self._lead(self._live(document))[0]

    def _lead(self, live: Sequence[Place]) -> tuple[Place | None, str | None]:
        """Which of a document's live places (the first one first) its text is taken from, and why."""
        if len(live) < 2:
            return (live[0], "only") if live else (None, None)
        by_source: dict[UUID, Place] = {}
        for place in live:
            if place.joined_by is not Joined.BY_HAND or place is live[0]:
                by_source.setdefault(place.source_id, place)
        first_ones = list(by_source.values())
        fullest = max(place.marks.words or 0 for place in first_ones)
        whole = [place for place in first_ones if place.marks.words is None or place.marks.words >= WHOLE * fullest]
        dated = [place for place in whole if place.changed_at is not None]
        newest = max(dated, key=lambda place: place.changed_at or place.first_seen_at, default=whole[0])
        leading = next(place for place in whole if place.content_hash == newest.content_hash)
        if leading is first_ones[0]:
            return leading, "first"
        return leading, "newest" if first_ones[0] in whole else "fullest"

    def _with_text(self, category: Category, content_hash: str) -> Document | None:
        """The document that has this text: a live one if there is one, else one that is gone."""
        having = [
            document
            for document in self.shelf.documents.values()
            if document.content_hash == content_hash and document.category is category and document.state != "merged"
        ]
        return min(having, key=lambda document: (document.state != "live", str(document.id)), default=None)


_MINTED = Ground(Joined.MINTED)


def _likeness(alike: float, place: Place) -> str:
    return f"{alike:.2f} of {place.location}"


def _stated(found: Found, at: datetime) -> datetime | None:
    """When the source says that the text was last changed; a time to come is a mistake."""
    return None if found.modified_at is None else min(found.modified_at, at)
