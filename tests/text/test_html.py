"""A page gives its main text, and nothing when it has none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from twin_core.text.html import FRAGMENT, fragment_markdown, is_fragment, main_text

PAGE = """<html lang="de-AT"><head><title>Kopf | Seite</title>
<meta property="article:published_time" content="2024-03-01T10:00:00+01:00"></head>
<body><nav><a href="/">Start</a><a href="/all">Alles</a></nav><article><h1>Kopf</h1>
<p>Ein Absatz mit einem <a href="x">Verweis</a> und <code>co_de</code>, der lang genug ist, um als Text zu gelten.</p>
<pre><code>def f(x):
    return [x]
</code></pre><ul><li>eins</li><li>zwei</li></ul><img src="a.png" alt="Bild"></article>
<footer>Alle Rechte vorbehalten</footer></body></html>"""


def test_the_article_comes_without_its_surroundings() -> None:
    page = main_text(PAGE, "https://a.b/c")
    assert page.title == "Kopf"
    assert page.language == "de"
    assert page.written_at == datetime(2024, 3, 1, 9, tzinfo=UTC)
    for wanted in ("# Kopf", "Verweis und `co_de`", "    return [x]", "- eins"):
        assert wanted in page.markdown
    for unwanted in ("Start", "Rechte", "Bild", "a.png", "](x)", "---"):
        assert unwanted not in page.markdown


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<html><body></body></html>",
        "<title>T</title><body><header><a href=/>Site</a></header><nav>Menu</nav><main></main><footer>(c)</footer></body>",
        "<<<>>",
    ],
)
def test_a_page_without_a_body_has_no_text(html: str) -> None:
    assert main_text(html, None).markdown == ""


def test_a_date_is_never_guessed_from_the_text() -> None:
    html = "<html><body><article><p>On 3 May 2019 we sailed, and it was a long and windy day at sea.</p></article></body></html>"
    assert main_text(html, None).written_at is None


def test_a_fragment_is_text_from_its_first_element_to_its_last() -> None:
    html = (
        "<p>Short, with <em>stress</em> and <a href='https://example.org'>a link</a>; a_b *c* &lt;div&gt;.</p>"
        "<pre>def f():<br>    return 1</pre><blockquote><p>Said somebody.</p></blockquote><ul><li>one</li><li>two</li></ul>"
        "<figure><img src='x.png' alt='A ship'><figcaption>A ship</figcaption></figure><script>no()</script><p>End."
    )
    assert fragment_markdown(html) == (
        "Short, with *stress* and a link; a_b *c* <div>.\n\n```\ndef f():\n    return 1\n```\n\n> Said somebody.\n\n"
        "- one\n- two\n\nEnd."
    )
    assert fragment_markdown("<p>Tiny.") == "Tiny."
    assert fragment_markdown("") == ""


def test_a_fragment_nested_deeper_than_python_follows_gives_its_words() -> None:
    assert fragment_markdown("<div>" * 3000 + "deep") == "deep"


def test_the_media_type_of_a_fragment_is_told_from_that_of_a_page() -> None:
    assert is_fragment(FRAGMENT)
    assert not is_fragment("text/html; charset=utf-8")
