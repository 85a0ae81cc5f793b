"""What of a mail is the author's: everything they wrote, nothing they quoted."""

from __future__ import annotations

import pytest

from twin_core.collect.exports.mbox import own_words


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Just this.", "Just this."),
        ("Yes.\n\nOn Mon, Jan 2, 2023 at 9:00 AM Bob <bob@example.org> wrote:\n> No?\n> Bob", "Yes."),
        ("Ja.\n\nAm 02.01.2023 um 09:00 schrieb Bob <bob@example.org>:\n> Nein?", "Ja."),
        ("Oui.\n\nLe lun. 2 janv. 2023 à 09:00, Bob <bob@example.org> a écrit :\n> Non ?", "Oui."),
        (
            "Yes.\n\nFrom: Bob <bob@example.org>\nSent: Monday, January 2, 2023 9:00 AM\nTo: Jane\nSubject: No?\n\nNo?",
            "Yes.",
        ),
        ("On Mon, Jan 2, 2023 at 9:00 AM Bob <bob@example.org> wrote:\n> No?\n> Bob\n\nYes, below.", "Yes, below."),
        ("> Rope?\n\nLong.\n\n> Bread?\n\nRye.", "> Rope?\n\nLong.\n\n> Bread?\n\nRye."),
        ("See below.\n\n---------- Forwarded message ---------\nFrom: Bob\n\nBob's words.", "See below."),
        ("The list:\n\n- rope\n- bread\n\nThat is all.", "The list:\n\n- rope\n- bread\n\nThat is all."),
        (
            "Hello,\n\nThanks, that helps.\n\nI will sail on Monday.",
            "Hello,\n\nThanks, that helps.\n\nI will sail on Monday.",
        ),
        ("Text.\n\nBest regards,\nJane Doe\nExample Ltd", "Text."),
        ("Text.\n\nViele Grüße\nJane", "Text."),
        ("Text.\n\n-- \nJane Doe\nhttps://example.org", "Text."),
        ("Text.\n\nSent from my phone", "Text."),
        ("Run:\n\n    make test\n\nBest,\nJane", "Run:\n\n    make test"),
        ("", ""),
        ("> only a quote", ""),
    ],
)
def test_own_words(text: str, own: str) -> None:
    assert own_words(text) == own
