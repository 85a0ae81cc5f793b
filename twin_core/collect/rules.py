"""What a source's options say about its items: which to take, and what kind of writing each is.

Options common to folder, web and git: `include` and `exclude` (globs over the item's path), `category` (of everything),
`articles`, `posts`, `code` (globs of what is of that category), and `may_be_empty` (`yes`: a source that suddenly lists
nothing is believed). Options of one platform are read by its module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from twin_core.errors import InvalidInput
from twin_core.identity import sha256
from twin_core.records import Category

_RULES = {"articles": Category.ARTICLE, "posts": Category.POST, "code": Category.CODE}
_COMMON = frozenset({"include", "exclude", "category", "may_be_empty", *_RULES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The common options of one source, read."""

    include: tuple[str, ...]
    """Empty: whatever the platform takes by itself."""
    exclude: tuple[str, ...]
    category: Category | None
    """Of what no other rule names; None where the source says nothing and the platform decides."""
    by_glob: tuple[tuple[str, Category], ...]
    may_be_empty: bool
    fingerprint: str
    """Changes when any option does: an item read under other rules is read again."""

    def takes(self, path: str) -> bool:
        """Whether an item is wanted. `exclude` wins over `include`."""
        if any(matches(glob, path) for glob in self.exclude):
            return False
        return not self.include or any(matches(glob, path) for glob in self.include)

    def category_of(self, path: str) -> Category | None:
        """The category that the first matching rule gives, else that of the source, else None."""
        return next((category for glob, category in self.by_glob if matches(glob, path)), self.category)


def read_rules(options: Mapping[str, str | list[str]], own: Sequence[str] = ()) -> Rules:
    """Read the common options; `own` names those that the platform understands besides.

    Raises InvalidInput for an unknown option or category, naming those there are.
    """
    unknown = sorted(set(options) - _COMMON - set(own))
    if unknown:
        there = ", ".join(sorted({*_COMMON, *own}))
        raise InvalidInput(f"There is no option `{unknown[0]}` for this platform. There are: {there}.")
    stated = options.get("category")
    return Rules(
        include=tuple(values(options, "include")),
        exclude=tuple(values(options, "exclude")),
        category=None if stated is None else category_named(str(stated)),
        by_glob=tuple((glob, category) for name, category in _RULES.items() for glob in values(options, name)),
        may_be_empty=options.get("may_be_empty") == "yes",
        fingerprint=sha256(repr(sorted((name, values(options, name)) for name in options)))[:12],
    )


def values(options: Mapping[str, str | list[str]], name: str) -> list[str]:
    """An option as a list: one text may hold several values, separated by commas."""
    stated = options.get(name, [])
    parts = stated.split(",") if isinstance(stated, str) else [str(part) for part in stated]
    return [part.strip() for part in parts if part.strip()]


def category_named(name: str) -> Category:
    """The category of this name (the plural is understood). Raises InvalidInput naming the three."""
    plain = name.strip().lower()
    for category in Category:
        if plain in {category.value, f"{category.value}s"}:
            return category
    raise InvalidInput(f"`{name[:40]}` is no category. There are: {', '.join(Category)}.")


def matches(glob: str, path: str) -> bool:
    """Whether a path (with `/`, no leading one) matches. `**` spans folders; a glob without `/` looks at the name."""
    plain = glob.strip().removeprefix("./").lstrip("/")
    if plain.endswith("/"):
        plain += "**"
    target = path.lstrip("/")
    return _pattern(plain).fullmatch(target if "/" in plain else target.rsplit("/", 1)[-1]) is not None


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    out: list[str] = []
    at = 0
    while at < len(glob):
        if glob.startswith("**/", at):
            out.append("(?:[^/]+/)*")
            at += 3
        elif glob.startswith("**", at):
            out.append(".*")
            at += 2
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(glob[at]) or re.escape(glob[at]))
            at += 1
    return re.compile("".join(out), re.DOTALL)
