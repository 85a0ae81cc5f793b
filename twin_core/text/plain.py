"""Any body of writing as one plain text, for comparing: what it says, without what it is written in.

The texts that are read, searched and learned from are made by the clean stage, which is more careful; here nothing but
the words counts.
"""

from __future__ import annotations

from twin_core.text.decode import decode, html_charset
from twin_core.text.html import fragment_markdown, is_fragment, main_text
from twin_core.text.markdown import clean_markdown, split_front_matter


def plain_text(body: bytes, media_type: str, charset: str | None = None) -> str:
    """The text of a body. Raises InvalidInput when it is no text, or has broken front matter."""
    kind = media_type.split(";", 1)[0].strip().lower()
    html = "html" in kind
    text = decode(body, charset or (html_charset(body) if html else None))
    if is_fragment(media_type):
        return fragment_markdown(text)
    if html:
        return main_text(text, None).markdown or _all_words(text)
    if kind in {"text/markdown", "text/x-markdown"}:
        return clean_markdown(split_front_matter(text)[1])
    return text


def _all_words(html: str) -> str:
    """Everything that a page shows: for fragments in which no main text is found."""
    from trafilatura import html2txt

    return str(html2txt(html))
