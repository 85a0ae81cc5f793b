"""`twin backup` and `twin restore`: everything in one archive, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twin_cli import output
from twin_core.settings import settings

Archive = Annotated[Path, typer.Argument(metavar="FILE", help="The archive, such as twin-2026-03-01.tar.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there already.")]


def backup(path: Archive, replace: Replace = False, as_json: output.AsJson = False) -> None:
    """Save the twin's database, its files and the journal of what was forgotten. Services may go on running."""
    from twin_core.backup import back_up

    made = back_up(settings(), path.expanduser().absolute(), replace=replace)
    if as_json:
        output.show_json(made)
        return
    held = ", ".join(f"{count:,} {name}" for name, count in made.contents.items())
    output.show(f"{made.path}: {made.bytes:,} bytes, {held}, {made.files:,} files.")
    output.say("It holds the author's texts in the clear: keep it where they may be.")


def restore(path: Archive, replace: Replace = False, as_json: output.AsJson = False) -> None:
    """Bring back what an archive holds. What was forgotten since it was made is forgotten again before anybody sees it.

    Services must be stopped. Without --replace, nothing is done where there is an author already.
    """
    from twin_core.backup import restore as bring_back

    done = bring_back(settings(), path.expanduser().absolute(), replace=replace)
    if as_json:
        output.show_json(done)
        return
    held = ", ".join(f"{count:,} {name}" for name, count in done.contents.items())
    output.show(f"Restored the state of {done.made_at}: {held}, {done.files:,} files.")
    again = {
        "documents": done.documents_forgotten, "sources": done.sources_forgotten, "authors": done.authors_forgotten,
    }  # fmt: skip
    if any(again.values()):
        output.show(f"Forgotten again: {', '.join(f'{count:,} {name}' for name, count in again.items() if count)}.")
    output.say("Next: twin sync")
