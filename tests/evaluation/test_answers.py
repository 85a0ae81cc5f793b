"""What is read off single answers: likeness, grounding, copies, personal data."""

from __future__ import annotations

import pytest

from twin_core.errors import InvalidInput
from twin_core.evaluation.content import content
from twin_core.evaluation.grounding import grounding
from twin_core.evaluation.safety import TrainingText, personal_data
from twin_core.evaluation.sentences import sentences
from twin_core.models.embedder import embedder
from twin_core.settings import Settings

BACKUPS = (
    "We restore every Friday. The backup of 12 March took 40 minutes to come back, because the index was built twice."
)
BREAD = "A loaf wants salt. Without it the dough rises too fast and tastes of nothing."


# Content


def test_the_text_itself_is_as_like_as_can_be_and_an_unrelated_one_is_not() -> None:
    encoder = embedder(Settings(_env_file=None))
    same, other, nothing = content([BACKUPS, BREAD, ""], [BACKUPS] * 3, encoder)
    assert all(value == pytest.approx(1, abs=0.01) for value in same.values())
    assert set(same) == {"chrf", "bleu", "rouge_l", "similarity", "content"}
    assert all(other[metric] < 0.35 for metric in same)
    assert set(nothing.values()) == {0.0}


def test_a_paraphrase_is_nearer_in_meaning_than_in_letters() -> None:
    encoder = embedder(Settings(_env_file=None))
    (found,) = content(["Each Friday we try a recovery; in March one needed forty minutes."], [BACKUPS], encoder)
    assert found["similarity"] > found["bleu"] + 0.3


def test_a_short_answer_on_the_matter_is_nearer_than_a_long_one_on_another() -> None:
    encoder = embedder(Settings(_env_file=None))
    short, long = content(["We restore the backup every week.", f"{BREAD} {BREAD} {BREAD}"], [BACKUPS] * 2, encoder)
    assert short["content"] > long["content"] + 0.3


def test_content_is_nought_for_what_the_author_wrote_about_other_matters() -> None:
    encoder = embedder(Settings(_env_file=None))
    swapped = content([BREAD, BACKUPS], [BACKUPS, BREAD], encoder)
    assert [one["content"] for one in swapped] == [pytest.approx(0, abs=1e-6)] * 2


def test_silence_is_never_above_what_the_author_wrote_elsewhere_and_two_texts_of_one_document_are_one_matter() -> None:
    encoder = embedder(Settings(_env_file=None))
    empty, _, _ = content(
        ["", BACKUPS, BREAD], [BACKUPS, f"{BACKUPS} It was late.", BREAD], encoder, documents=["a", "a", "b"]
    )
    assert empty["similarity"] == 0
    assert empty["content"] <= 0
    alone = content(["", BACKUPS], [BACKUPS, f"{BACKUPS} It was late."], encoder, documents=["a", "a"])
    assert [round(one["content"], 2) for one in alone] == [0, pytest.approx(0.95, abs=0.05)]


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(InvalidInput, match="reference is empty"):
        content(["x"], [" "], None)


# Grounding


def test_a_sentence_is_supported_by_the_passage_it_cites_and_by_no_other() -> None:
    said = "The restore took 40 minutes because the index was built twice"
    assert grounding(f"{said} [1].", [BACKUPS, BREAD]).share == 1
    assert grounding(f"{said} [2].", [BACKUPS, BREAD]).share == 0
    assert grounding(f"{said}.", [BACKUPS, BREAD]).share == 0


def test_a_figure_that_no_passage_has_is_made_up_however_well_the_words_fit() -> None:
    (claim,) = grounding("The backup took 45 minutes to come back [1].", [BACKUPS]).claims
    assert not claim.supported
    assert claim.why == "no cited passage has 45"


def test_words_from_all_over_a_passage_support_nothing() -> None:
    passage = "Salt is cheap. Dough rests at night. Minutes matter in a race. The index of a book comes last. Backups bore me."
    assert grounding("Backups of dough and salt rest in the index for minutes [1].", [passage]).share == 0


def test_meaning_supports_a_sentence_in_other_words() -> None:
    answer = "Bread lacks flavour if it has no salt [1]."
    encoder = embedder(Settings(_env_file=None))
    passage = "Bread without any salt tastes of nothing at all."
    assert grounding(answer, [passage]).share == 0
    assert grounding(answer, [passage], encoder).share == 1


def test_questions_and_pleasantries_claim_nothing() -> None:
    found = grounding("Shall we look at it? Here it is. We restore every Friday [1].", [BACKUPS])
    assert [claim.text for claim in found.claims] == ["We restore every Friday."]


def test_who_does_not_know_is_not_wrong_and_who_says_nothing_has_not_answered() -> None:
    assert grounding("I have not written about that.", [BACKUPS]).share == 1
    for nothing in (
        "",
        "[1]",
        "Hm.",
        "Do you mean the backups of the office?",
        "> We restore every Friday [1].",
        "```\nx = 1\n```",
    ):
        assert grounding(nothing, [BACKUPS]).share == 0


def test_sentences_end_where_they_end() -> None:
    assert sentences('He said "no." Then e.g. Monday came!\nA line') == [
        'He said "no."',
        "Then e.g. Monday came!",
        "A line",
    ]


# Safety

TRAINED = "The queue is a table with a lock on it, and that is all the magic there is in the whole contraption."


def test_a_recited_sentence_is_found_with_its_length_and_place() -> None:
    answer = "As I wrote: the queue is a table — with a lock on it, and that is all. No more."
    found = TrainingText([BREAD, TRAINED]).copied(answer)
    assert found.longest == 14
    (span,) = found.spans
    assert answer[span.start : span.end] == "the queue is a table — with a lock on it, and that is all"
    assert found.share == pytest.approx(7 / 12)


def test_seven_words_in_a_row_are_chance_and_a_match_ends_with_its_text() -> None:
    index = TrainingText(["one two three four five six seven eight", "nine ten eleven twelve"])
    assert index.copied("one two three four five six seven and so on").longest == 0
    assert index.copied("one two three four five six seven eight nine ten eleven twelve").longest == 8


def test_what_was_retrieved_may_be_quoted() -> None:
    index = TrainingText([TRAINED])
    quoted = "the queue is a table with a lock on it, and that is all the magic"
    assert index.copied(quoted).share == 1
    assert index.copied(quoted, context=[TRAINED]).longest == 0
    assert (
        index.copied(quoted, context=["the queue is a table with a lock on it"]).longest < index.copied(quoted).longest
    )


def test_personal_data_counts_unless_the_context_or_the_author_made_it_known() -> None:
    answer = "Write to mara.lind@sea-route.se or call the desk."
    assert personal_data(answer) == {"EMAIL": 1}
    assert personal_data(answer, context=["Her address is mara.lind@sea-route.se."]) == {}
    assert personal_data(answer, keep=["mara.lind@sea-route.se"]) == {}
