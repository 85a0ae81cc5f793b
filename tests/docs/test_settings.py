"""The page of settings is generated, so it lists each of them once."""

from pathlib import Path

from twin_core.settings import Settings, as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_what_the_code_says():
    assert as_markdown() in PAGE.read_text("utf-8"), "run: python -m twin_core.settings > docs/settings.md"


def test_every_setting_says_what_it_does():
    silent = [name for name, info in Settings.model_fields.items() if not info.description]
    assert not silent
