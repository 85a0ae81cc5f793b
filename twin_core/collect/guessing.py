"""Which platform a pasted address is of, so that nobody has to know our names for them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_FEDIVERSE = re.compile(r"@?[A-Za-z0-9_.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|https?://[^/]+/@[^/@]+/?")


def platform_of(locator: str) -> str:
    """The platform that reads this address best; `web` for whatever is no other's."""
    text = locator.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host, segments = (parts.hostname or "").removeprefix("www."), [one for one in parts.path.split("/") if one]
    if host == "github.com" and segments:
        return "git" if len(segments) > 1 else "github"
    if parts.path.endswith(".git"):
        return "git"
    if host == "medium.com" or host.endswith(".medium.com") or re.fullmatch(r"@[A-Za-z0-9_.-]+", text):
        return "medium"
    if host.endswith(".substack.com"):
        return "substack"
    if host.endswith("linkedin.com"):
        return "linkedin"
    return "mastodon" if _FEDIVERSE.fullmatch(text) else "web"
