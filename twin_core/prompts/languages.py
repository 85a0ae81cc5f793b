"""What a prompt calls a language. Codes are ISO 639-1; which language a text is in is `features/languages.py`'s."""

from __future__ import annotations

_NAMES = {
    "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish",
    "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip


def language_name(code: str) -> str:
    """The English name of the language, or a phrase with its code."""
    return _NAMES.get(code, f"the language `{code}`")
