"""Redaction: what goes, what stays, and that nothing else of the text changes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.planted import KINDS, PROVIDERS, Planted, look_alikes, planted
from twin_core.text.redact import findings, redact

LEAST = 0.95


def caught(case: Planted) -> bool:
    return redact(case.text).text == case.text.replace(case.secret, f"<{case.kind}>")


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_planted_set_nearly_all_of_each_kind_is_found_and_nearly_nothing_else(kind: str) -> None:
    of_kind = [case for case in planted() if case.kind == kind]
    found = sum(caught(case) for case in of_kind)
    wrong = sum(
        finding.kind == kind and (case.kind != kind or finding.end - finding.start > len(case.secret) + 2)
        for case in [*planted(), *look_alikes()]
        for finding in findings(case.text)
    )
    assert found / len(of_kind) >= LEAST, [case.secret for case in of_kind if not caught(case)]
    assert found / (found + wrong) >= LEAST


@pytest.mark.parametrize("seed", range(3))
def test_other_seeds_do_as_well(seed: int) -> None:
    cases = planted(seed + 100)
    assert sum(map(caught, cases)) / len(cases) >= LEAST
    assert sum(bool(findings(case.text)) for case in look_alikes(seed + 100)) <= 200 * (1 - LEAST)


def test_placeholders_say_what_was_there_and_the_rest_stays_to_the_letter() -> None:
    made = redact("Write to o.tar@saltworks.io\tor call +44 20 7946 0958 - soon.\n")
    assert made.text == "Write to <EMAIL>\tor call <PHONE> - soon.\n"
    assert made.counts == {"EMAIL": 1, "PHONE": 1}


def test_the_authors_public_addresses_stay_however_they_are_written() -> None:
    text = "Mail Ada@Tidewater.io or b@tidewater.io, tel. +44 (20) 7946-0958, 12 Mill Street, Bristol BS1 4QD."
    keep = ["ada@tidewater.io", "+44 20 7946 0958", "12 Mill Street"]
    assert redact(text, keep=keep).text == text.replace("b@tidewater.io", "<EMAIL>")


def test_an_address_of_nothing_keeps_nothing() -> None:
    assert redact("12 Mill Street", keep=["", " - "]).text == "<ADDRESS>"


def test_a_key_cut_short_by_the_end_of_a_passage_goes_too() -> None:
    whole = next(case for case in planted() if case.kind == "PRIVATE_KEY")
    begins = whole.text.index("-----BEGIN")
    assert "<PRIVATE_KEY>" in redact(whole.text[: begins + 120]).text


def test_the_password_of_a_connection_goes_and_its_place_stays() -> None:
    assert redact("dsn=postgresql://yard:t1de-hUnt3r@db.saltworks.io:5432/tides").text == (
        "dsn=postgresql://yard:<PASSWORD>@db.saltworks.io:5432/tides"
    )
    for harmless in ("postgres://user:password@host/db", "https://${USER}:${PASS}@host/", "http://a:***@b/"):
        assert redact(harmless).text == harmless


def test_an_assigned_random_value_is_a_key_and_words_are_not() -> None:
    value = "".join(Random(1).choices("abcdef0123456789", k=32))
    assert redact(f'SALTWORKS_API_KEY = "{value}"').text == 'SALTWORKS_API_KEY = "<API_KEY>"'
    assert redact('token_name = "the-name-of-a-token"').counts == {}


def test_mail_spelt_out_goes() -> None:
    assert redact("o.tar [at] saltworks [dot] io").text == "<EMAIL>"


def test_cards_with_good_check_digits_go() -> None:
    assert redact("paid with 4111 1111 1111 1111 today").counts == {"CARD": 1}
    assert redact("part 4111 1111 1111 1112 today").counts == {}


def test_every_finding_of_a_text_is_replaced_in_one_go() -> None:
    key = PROVIDERS[0](Random(5))
    text = f"{key} a@saltworks.io {key} DE89 3704 0044 0532 0130 00 THEN"
    assert redact(text).text == "<API_KEY> <EMAIL> <API_KEY> <IBAN> THEN"


_SCRAPS = st.sampled_from([case.text for case in [*planted(), *look_alikes()]])


@given(st.lists(st.one_of(_SCRAPS, st.text(max_size=30)), max_size=5))
def test_once_is_enough_and_nothing_outside_the_findings_changes(scraps: list[str]) -> None:
    text = "\n".join(scraps)
    found, made = findings(text), redact(text)
    assert redact(made.text).text == made.text
    assert sum(made.counts.values()) == len(found)
    outside, at = [], 0
    for finding in found:
        assert at <= finding.start < finding.end
        outside.append(text[at : finding.start])
        at = finding.end
    rest = made.text
    for piece in [*outside, text[at:]]:
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]


def test_a_megabyte_without_a_space_takes_no_quadratic_time() -> None:
    for stuff in ("a", "0", "A0", "a.", "@a", "://", "-", "Aa ", "1 Aa ", "token", "eyJ"):
        redact(stuff * (300_000 // len(stuff)))
