"""Bytes become text whatever wrote them, and what is no text is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_core.errors import InvalidInput
from twin_core.text.decode import decode, html_charset


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_unicode_encoding_is_read_without_being_told(encoding: str) -> None:
    assert decode("Größe 北京 🎉".encode(encoding)) == "Größe 北京 🎉"


def test_old_western_text_is_read_as_windows_1252() -> None:
    assert decode("It’s a café".encode("cp1252")) == "It’s a café"


def test_a_declared_charset_counts_where_the_bytes_allow_it() -> None:
    assert decode("Привет, мир".encode("koi8-r"), "koi8-r") == "Привет, мир"
    assert decode("日本語".encode("iso2022_jp"), "iso-2022-jp") == "日本語"


def test_latin_1_stated_by_habit_does_not_spoil_utf_8() -> None:
    assert decode("Größe".encode(), "ISO-8859-1") == "Größe"


@pytest.mark.parametrize("declared", ["klingon", "", "utf-8; x", "base64"])
def test_a_charset_that_is_none_is_ignored(declared: str) -> None:
    assert decode(b"plain", declared) == "plain"


@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n\0\0\0", bytes(range(1, 32)) * 9, "a\0b".encode("utf-16")])
def test_a_binary_file_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="binary"):
        decode(body)


def test_a_text_cut_in_the_middle_of_a_character_names_the_byte() -> None:
    with pytest.raises(InvalidInput, match="byte"):
        decode("ab".encode("utf-16")[:-1])


def test_a_page_names_its_charset() -> None:
    assert html_charset(b'<html><head><meta charset="koi8-r">') == "koi8-r"
    assert html_charset(b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">') == "windows-1251"
    assert html_charset(b"<p>charset=utf-8</p>") is None


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_utf_8_always_comes_back_as_it_was(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert decode(text.encode()) == text


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_text_or_a_refusal(body: bytes) -> None:
    try:
        text = decode(body)
    except InvalidInput:
        return
    assert "\0" not in text
