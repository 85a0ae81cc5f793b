"""What every command prints with: tables for people, JSON for programs, exit codes, progress.

Data goes to stdout and nothing else does, so that `--json` can be piped; words about the work go to stderr. Rich is
imported when something is shown: it costs a tenth of a second that `--help` should not pay.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

DONE = 0
PARTLY = 1
"""Something failed; the rest is done and saved."""
USAGE = 2
MISSING_SERVICE = 3
PIPE_WIDTH = 200
"""Characters that a table may take where no screen sets the width."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
"""The option of every command that prints data: `as_json: AsJson = False`."""


def finish(code: int) -> NoReturn:
    """End the command with an exit code, after everything has been said."""
    raise typer.Exit(code)


@lru_cache(maxsize=1)
def console() -> Console:
    """Where data for people goes: stdout. In a pipe lines are not cut to the width of a screen nobody looks at."""
    from rich.console import Console

    seen = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not seen, width=None if seen else PIPE_WIDTH)


@lru_cache(maxsize=1)
def words() -> Console:
    """Where words about the work go: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def say(text: str) -> None:
    """One line about the work, on stderr. Taken literally: brackets in it are no markup."""
    words().print(text, markup=False)


def warn(text: str) -> None:
    """One line about something that did not go well, on stderr."""
    words().print(text, markup=False, style="yellow")


def show(text: str) -> None:
    """Text that is the answer itself, on stdout, taken literally."""
    console().print(text, markup=False)


def show_json(value: object) -> None:
    """Print any record, mapping or sequence as JSON on stdout."""
    typer.echo(as_json_text(value))


def as_json_text(value: object) -> str:
    """JSON of records as this product knows them: dataclasses, ids, times, paths, enums, sets."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def plain(value: object) -> Any:
    """The value in JSON's own types. Raises TypeError for what has no obvious form, such as bytes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def show_rows(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, empty: str = "Nothing yet."
) -> None:
    """Print a table on stdout, or the sentence `empty` when there is no row. Numbers are set right."""
    filled = [list(row) for row in rows]
    if filled:
        console().print(table(columns, filled, title=title))
    else:
        show(empty)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> Table:
    """A Rich table of plain values; cells are taken literally. Pass a Rich `Text` for a coloured cell."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        numbers = all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        made.add_column(escape(name), justify="right" if numbers else "left", overflow="fold", no_wrap=numbers)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else escape(_shown(cell)) for cell in row))
    return made


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M")
    return str(plain(cell))


def progress() -> Progress:
    """A progress display on stderr for long work; silent where nobody looks at it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=words(), transient=True, disable=not words().is_terminal)
