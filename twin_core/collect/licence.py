"""Under which licence a repository or a file is published, as its SPDX identifier.

Recognised by the stated identifier or the first lines of the usual texts; anything else stays unknown rather than
guessed. It is recorded with each document, so that what the twin quotes can be judged later.
"""

from __future__ import annotations

import re

_STATED = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?:\s+(?:AND|OR|WITH)\s+[A-Za-z0-9.+-]+)*)")
# In this order: the first text that fits counts, so the longer names come before those they contain.
_TEXTS = (
    (r"gnu affero general public license\s+version 3", "AGPL-3.0"),
    (r"gnu lesser general public license\s+version 3", "LGPL-3.0"),
    (r"gnu lesser general public license\s+version 2\.1", "LGPL-2.1"),
    (r"gnu general public license\s+version 3", "GPL-3.0"),
    (r"gnu general public license\s+version 2", "GPL-2.0"),
    (r"apache license,?\s+version 2\.0", "Apache-2.0"),
    (r"mozilla public license,?\s+version 2\.0", "MPL-2.0"),
    (r"eclipse public license\s+-?\s*v(?:ersion)? ?2\.0", "EPL-2.0"),
    (r"boost software license\s+-\s+version 1\.0", "BSL-1.0"),
    (r"european union public licence v\. ?1\.2", "EUPL-1.2"),
    (r"creative commons (?:legal code\s+)?cc0 1\.0|cc0 1\.0 universal", "CC0-1.0"),
    (r"attribution-sharealike 4\.0 international", "CC-BY-SA-4.0"),
    (r"attribution-noncommercial 4\.0 international", "CC-BY-NC-4.0"),
    (r"attribution 4\.0 international", "CC-BY-4.0"),
    (r"this is free and unencumbered software released into the public domain", "Unlicense"),
    (r"do what the fuck you want to public license", "WTFPL"),
    (r"permission to use, copy, modify, and/or distribute this software", "ISC"),
    (r"permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
)
_BSD = "redistribution and use in source and binary forms, with or without modification"
_BSD_THIRD = re.compile(r"neither the names? of .{1,200}? may be used to endorse", re.DOTALL)


def stated_licence(text: str) -> str | None:
    """The SPDX identifier that a text states in its first 2,000 characters."""
    found = _STATED.search(text[:2_000])
    return " ".join(found.group(1).split()) if found else None


def licence_of(text: str) -> str | None:
    """The SPDX identifier of a licence text, None when it is none of the usual ones."""
    if stated := stated_licence(text):
        return stated
    plain = " ".join(text[:10_000].lower().split())
    for pattern, name in _TEXTS:
        if re.search(pattern, plain[:2_500]):
            return name
    if _BSD in plain:
        return "BSD-3-Clause" if _BSD_THIRD.search(plain) else "BSD-2-Clause"
    return None
