"""One revision in its normal form: by category, in its language, never empty."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.features.texts import raw
from twin_core.errors import InvalidInput
from twin_core.features.clean import clean_revision
from twin_core.records import Category

GERMAN = "Das Boot lag sechs Stunden im Schlick, und ich las das Handbuch der Pumpe, bis das Licht nicht mehr reichte."


def test_an_article_loses_front_matter_links_and_images() -> None:
    document = clean_revision(raw(b"---\ntitle: T\n---\n# Head\n\nSee [it](http://x). ![i](j)\n"), "en")
    assert (document.title, document.text) == ("Head", "# Head\n\nSee it.")
    assert document.words == 3


def test_the_title_that_the_source_states_wins() -> None:
    assert clean_revision(raw(b"# Head\n\nText", title="Stated\n title"), "en").title == "Stated title"


def test_an_article_without_a_heading_is_named_by_its_file() -> None:
    assert clean_revision(raw(b"Text", name="notes/on-pumps.md"), "en").title == "on-pumps"


def test_a_page_becomes_markdown() -> None:
    html = f"<html><body><article><h1>Kopf</h1><p>{GERMAN}</p><pre><code>x\n  y</code></pre></article></body></html>"
    document = clean_revision(raw(html.encode("cp1252"), media_type="text/html; charset=x", charset="cp1252"), "en")
    assert document.title == "Kopf"
    assert "x\n  y" in document.text
    assert document.language == "de"


def test_code_is_kept_byte_for_byte() -> None:
    source = "def f():\r\n\treturn '[a](b)'   \r\n\r\n\r\n"
    document = clean_revision(
        raw(source.encode(), category=Category.CODE, name="pkg/f.py", media_type="text/x-python"), "en"
    )
    assert (document.text, document.language, document.title) == (source, "python", "pkg/f.py")


def test_the_language_of_code_is_the_one_that_the_source_states() -> None:
    document = clean_revision(raw(b"x", category=Category.CODE, name="Jenkinsfile", language="Groovy"), "en")
    assert document.language == "groovy"


def test_a_post_takes_its_first_words_for_a_title() -> None:
    text = ("A long thought about the sea that goes on and on " * 5).strip()
    document = clean_revision(raw(text.encode(), category=Category.POST, media_type="text/plain"), "en")
    assert document.text == text
    assert document.title.endswith("…")
    assert text.startswith(document.title.rstrip("…"))


def test_a_short_text_is_in_the_authors_language() -> None:
    assert clean_revision(raw(b"Ahoi!", category=Category.POST), "de").language == "de"


def test_a_long_text_is_in_its_own_language() -> None:
    assert clean_revision(raw(GERMAN.encode()), "en").language == "de"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"", "text/markdown"), (b"![only](image.png)", "text/markdown"), (b"---\na: 1\n---\n", "text/markdown"),
     (b" \n\t\n", "text/plain"), (b"<html><body><nav>Menu</nav></body></html>", "text/html")],
)  # fmt: skip
def test_nothing_left_is_an_error_and_never_an_empty_document(body: bytes, media_type: str) -> None:
    with pytest.raises(InvalidInput, match="nothing is left"):
        clean_revision(raw(body, media_type=media_type), "en")


@pytest.mark.parametrize(("body", "why"), [(b"\0\1\2", "binary"), (b"---\na: b: c\n---\nx", "line 2")])
def test_what_cannot_be_read_says_why(body: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        clean_revision(raw(body), "en")


def test_the_stages_import_nothing_heavy_until_there_is_work() -> None:
    program = (
        "import sys, twin_core.features.clean, twin_core.features.chunk, twin_core.features.embed\n"
        "from twin_core.settings import Settings\n"
        "from twin_core.models.embedding_model import embedding_model\n"
        "embedding_model(Settings(_env_file=None))\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'tokenizers', 'lingua', 'trafilatura', 'markdown_it',"
        " 'tree_sitter', 'scipy', 'datasketch', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
