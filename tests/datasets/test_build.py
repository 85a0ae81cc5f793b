"""Building an instruction set: what comes out, what stays out and why, what a second build does."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.collect.scripted import found
from tests.datasets.scenario import Recorder, Writer, article, code, dated, post, prose
from twin_core import forgetting
from twin_core.datasets import filters
from twin_core.datasets.measures import Measures, Verdict
from twin_core.datasets.passages import count_words
from twin_core.datasets.versions import NotValid, diff
from twin_core.errors import InvalidInput, ServiceUnavailable, ValidationFailed
from twin_core.records import QUESTION, Category, Split
from twin_core.store import datasets as store

MANY = [article(number) for number in range(24)]
LAST = len(MANY) - 1


def examples(writer: Writer, version_id: str):
    with writer.database.transaction() as conn:
        return store.examples_of(conn, version_id)


def sides(writer: Writer, version_id: str):
    with writer.database.transaction() as conn:
        return store.members_of(conn, version_id)


def test_the_authors_text_is_the_answer_and_its_own_document_is_never_quoted(writer: Writer) -> None:
    writer.write(*MANY, embedded=True)
    built = writer.build()
    made = [one for one in examples(writer, built.version.id) if one.origin != QUESTION]
    assert len(made) == len(MANY)
    for one in made:
        (whole,) = writer.rows("SELECT text FROM features.cleaned_documents WHERE revision_id = :r", r=one.revision_id)
        assert one.answer in str(whole[0])[one.start : one.end]
        assert one.document_id not in one.context_document_ids
        assert one.answer not in one.prompt[-1][1]
        assert [role for role, _ in one.prompt] == ["system", "user"]
        assert f"Task: Write an article titled “{_title(writer, one.document_id)}”.\n" in one.prompt[-1][1]
    assert sum(bool(one.context_document_ids) for one in made) > 12


def _title(writer: Writer, document_id) -> object:
    return writer.rows("SELECT title FROM features.cleaned_documents WHERE document_id = :d", d=document_id)[0][0]


def test_prompts_quote_only_what_is_learnt_from_and_was_written_before(writer: Writer) -> None:
    writer.write(*MANY, embedded=True)
    built = writer.build()
    with writer.database.transaction() as conn:
        origins = store.origins_of(conn, built.version.id)
        dates = dict(conn.execute(text("SELECT document_id, written_at FROM features.cleaned_documents")).all())
    for one in examples(writer, built.version.id):
        for quoted in one.context_document_ids:
            assert origins[quoted].split == Split.TRAIN
            assert dates[quoted] < dates[one.document_id]


def test_the_same_texts_give_the_same_version_and_a_second_build_does_nothing(writer: Writer) -> None:
    writer.write(*MANY)
    first = writer.build()
    again = writer.build(validate=None)
    assert (again.version.id, again.new, again.counts) == (first.version.id, False, {})
    anew = writer.build(fresh=True)
    assert (anew.version.id, anew.new) == (first.version.id, False)
    assert anew.counts["examples made"] == len(MANY)


def test_new_documents_make_their_own_examples_and_no_others(writer: Writer) -> None:
    many = [article(number) for number in range(70)]
    writer.write(*many[:30], *many[35:], embedded=True)
    first = writer.build()
    writer.write(*many, embedded=True)
    second = writer.build()
    asked = [one for one in examples(writer, second.version.id) if one.origin == QUESTION]
    new = {writer.document_at(f"{number}.md") for number in range(30, 35)}
    assert second.counts["examples made"] == 5 + sum(one.document_id in new for one in asked)
    assert second.counts["examples reused"] == 65 + sum(one.document_id not in new for one in asked)
    with writer.database.transaction() as conn:
        changes = diff(conn, first.version, second.version)
    came = [one for one in changes if one.change == "came"]
    assert {one.why for one in came} == {"new document"}
    assert {one.document_id for one in came} == new
    assert not [one for one in changes if one.change == "went"]


def test_an_edit_changes_the_examples_of_its_passage_and_diff_says_so(writer: Writer) -> None:
    writer.write(*MANY)
    first = writer.build()
    writer.write(*MANY[:-1], article(LAST, prose(777)))
    second = writer.build()
    with writer.database.transaction() as conn:
        changes = diff(conn, first.version, second.version)
    assert {(one.change, one.why, one.document_id) for one in changes} == {
        ("came", "new revision", writer.document_at(f"{LAST}.md")),
        ("went", "new revision", writer.document_at(f"{LAST}.md")),
    }


def test_a_planted_cross_post_is_on_one_side_and_learnt_once(writer: Writer) -> None:
    copy = dated(found("elsewhere.md", f"# Note 3, again\n\n{prose(3)} It was also read elsewhere.\n"), 60)
    writer.write(*MANY, copy)
    built = writer.build()
    assert built.drops == {filters.NEAR_DUPLICATE: 1}
    with writer.database.transaction() as conn:
        origins = store.origins_of(conn, built.version.id)
    assert origins[writer.document_at("elsewhere.md")].split == origins[writer.document_at("3.md")].split


def test_a_planted_paragraph_that_a_test_document_repeats_is_not_learnt(writer: Writer) -> None:
    repeated = prose(5_000, 4)
    early = article(0, f"{prose(0)}\n\n{repeated}")
    late = article(LAST, f"{prose(LAST)}\n\n{repeated}")
    writer.write(early, *MANY[1:LAST], late)
    recorder = Recorder()
    built = writer.build(validate=recorder)
    assert built.drops == {filters.SHARED_WITH_TEST: 1}
    assert sum(recorder.measures[0].examples["shared_with_test"]) == 0
    documents = {one.document_id for one in examples(writer, built.version.id)}
    assert writer.document_at(f"{LAST}.md") in documents
    assert writer.document_at("0.md") not in documents


def test_no_run_of_thirteen_words_and_no_near_copy_crosses_the_sides(writer: Writer) -> None:
    shared = prose(9, 6)
    mixed = [article(number, f"{prose(number)}\n\n{shared}" if number % 4 == 0 else None) for number in range(30)]
    writer.write(*mixed, embedded=True)
    built = writer.build()
    assert built.drops[filters.SHARED_WITH_TEST] > 0
    of = sides(writer, built.version.id)
    train = [one for one in examples(writer, built.version.id) if of[one.id] == Split.TRAIN]
    test = [one for one in examples(writer, built.version.id) if of[one.id] == Split.TEST]
    runs = {run for one in test for run in _runs(one.answer)}
    for one in train:
        assert not runs & set(_runs(f"{one.prompt[-1][1]} {one.answer}"))
        for other in test:
            assert _jaccard(one.answer, other.answer) < 0.8


def _runs(given: str) -> list[str]:
    words = "".join(letter.lower() if letter.isalnum() or letter == "_" else " " for letter in given).split()
    return [" ".join(words[at : at + 13]) for at in range(len(words) - 12)]


def _jaccard(one: str, other: str) -> float:
    first, second = (
        {tuple(found[at : at + 5]) for at in range(len(found) - 4)} for found in (one.split(), other.split())
    )
    return len(first & second) / len(first | second)


def test_every_drop_is_counted_by_its_reason_and_document(writer: Writer) -> None:
    polish = (
        "Nie wiem, czemu port pustoszeje dwa razy na dobę, lecz tak jest i trzeba z tym żyć. Każdego ranka idę na "
        "nabrzeże i patrzę, jak łodzie kładą się na boku, a mewy chodzą po mule. Potem wraca woda i wszystko zaczyna "
        "się od nowa, jakby nic się nie stało. Wieczorem zapisuję godziny w zeszycie, który dostałem od ojca."
    )
    footer = prose(103, 4)
    writer.write(
        *MANY,
        article(100, "Too little."),
        article(101, polish, day=0),
        article(102, "> " + prose(102) + "\n\nSo he said.\n", day=1),
        *(article(200 + number, f"{prose(200 + number, 1)}\n\n{footer}", day=2) for number in range(5)),
    )  # fmt: skip
    built = writer.build()
    assert built.drops == {
        filters.BOILERPLATE: 5, filters.LANGUAGE: 1, filters.OTHERS: 1, filters.TOO_SHORT: 1,
    }  # fmt: skip
    assert built.counts["passages"] == len(MANY) + 8
    assert built.counts["passages dropped"] == 8
    with writer.database.transaction() as conn:
        assert store.drops_by_reason(conn, built.version.id) == built.drops
        assert store.dropped_documents(conn, built.version.id)[writer.document_at("101.md")] == [filters.LANGUAGE]


def test_what_others_wrote_is_cut_out_of_what_is_learnt(writer: Writer) -> None:
    writer.write(article(0, f"{prose(0)}\n\n> The pilot told me a secret.\n\nAnd so I went."), *MANY[1:])
    built = writer.build()
    (answer,) = (
        one.answer for one in examples(writer, built.version.id) if one.document_id == writer.document_at("0.md")
    )
    assert "secret" not in answer
    assert answer.endswith("And so I went.")


def test_private_data_is_redacted_in_answers_tasks_and_context(writer: Writer) -> None:
    writer.write(
        *(article(number, f"{prose(number)} Write to keeper{number}@tidewater.io for it.") for number in range(24)),
        embedded=True,
    )
    recorder = Recorder()
    built = writer.build(validate=recorder)
    for one in examples(writer, built.version.id):
        assert "@tidewater" not in f"{one.prompt} {one.answer}"
        assert "<EMAIL>" in f"{one.prompt} {one.answer}"
    assert sum(recorder.measures[0].examples["private"]) == 0
    assert built.version.manifest["redactions"] == {"EMAIL": 24}


def test_all_kinds_of_writing_become_examples(writer: Writer) -> None:
    writer.write(
        *(article(number) for number in range(10)),
        *(post(number) for number in range(10)),
        *(code(number) for number in range(10)),
    )
    built = writer.build()
    tasks = {one.category: one.prompt[-1][1].rpartition("Task: ")[2] for one in examples(writer, built.version.id)}
    assert tasks[Category.POST].startswith("Write a post about ")
    assert tasks[Category.CODE].startswith("Write the body of `")
    assert "```python\ndef " in tasks[Category.CODE]
    assert built.version.manifest["by_category"].keys() == {"article", "post", "code"}


def test_an_answer_that_its_task_leaves_three_words_of_is_dropped_and_the_rest_is_published(writer: Writer) -> None:
    tiny = 'def tide_of_the_day(port, year, month, day):\n    """Tell how high the water stands at noon there."""\n    return 0\n'
    writer.write(*MANY, dated(found("tiny.py", tiny, category=Category.CODE), LAST + 1))
    built = writer.build()
    assert built.version.manifest["by_category"].keys() == {"article"}
    assert built.version.manifest["drops"][filters.TOO_SHORT] == 1


def test_an_author_of_code_alone_gets_a_dataset_of_code(writer: Writer) -> None:
    writer.write(*(code(number) for number in range(30)))
    built = writer.build()
    assert set(built.version.manifest["by_category"]) == {"code"}


def chinese(seed: int) -> str:
    draw = random.Random(seed)
    things = [
        "绳子",
        "灯塔",
        "铁锚",
        "船帆",
        "码头",
        "木箱",
        "水桶",
        "账本",
        "罗盘",
        "风暴",
        "浮标",
        "木板",
        "电缆",
        "船体",
        "甲板",
        "绞车",
        "桅杆",
        "灯笼",
        "水壶",
        "炉子",
    ]
    acts = ["修理", "搬运", "看守", "油漆", "称量", "数着", "升起", "降下", "卖掉", "借来", "擦洗", "拖拉"]
    return "".join(
        f"我{draw.choice(acts)}{draw.choice(things)}，然后{draw.choice(acts)}第{draw.randrange(900)}号{draw.choice(things)}。"
        for _ in range(12)
    )


def polish(seed: int) -> str:
    draw = random.Random(seed)
    things = ["linę", "latarnię", "kotwicę", "żagiel", "beczkę", "skrzynię", "kompas", "boję", "deskę", "lampę"]
    acts = ["naprawiłem", "przeniosłem", "pomalowałem", "zważyłem", "sprzedałem", "wypożyczyłem", "wyczyściłem"]
    return " ".join(
        f"Wczoraj {draw.choice(acts)} {draw.choice(things)} numer {draw.randrange(9000)}, a potem {draw.choice(acts)} "
        f"jeszcze {draw.choice(things)} z magazynu {draw.randrange(9000)}."
        for _ in range(8)
    )


@pytest.mark.parametrize(
    ("written", "language", "name"), [(chinese, "zh", "Chinese"), (polish, "pl", "Polish")], ids=["Chinese", "Polish"]
)
def test_an_author_in_another_language_than_the_profile_says_is_taken_as_writing_in_it(
    writer: Writer, written: Callable[[int], str], language: str, name: str
) -> None:
    writer.write(*(article(number, written(number)) for number in range(30)))
    built = writer.build()
    assert built.version.manifest["languages"] == [language]
    assert all(f"in {name}" in one.prompt[0][1] for one in examples(writer, built.version.id))


def test_too_few_documents_are_refused_and_nothing_is_published(writer: Writer) -> None:
    writer.write(*MANY[:5])
    with pytest.raises(InvalidInput, match="5 different texts are too few"):
        writer.build()
    assert writer.rows("SELECT count(*) FROM training.dataset_versions") == [(0,)]


def test_near_duplicates_alone_are_refused(writer: Writer) -> None:
    writer.write(*(article(number, f"{prose(1)} Number {number}.") for number in range(20)))
    with pytest.raises(InvalidInput, match=r"1 different texts \(20 documents, near-duplicates counted once\)"):
        writer.build()


def test_documents_without_a_usable_passage_are_refused_with_the_reasons(writer: Writer) -> None:
    writer.write(*(article(number, f"Short {number}.") for number in range(20)))
    with pytest.raises(InvalidInput, match=r"no train and no test example is left of 20 passages.* 20 too short"):
        writer.build()


def test_no_documents_at_all_are_another_error(writer: Writer) -> None:
    with pytest.raises(InvalidInput, match="twin sync"):
        writer.build()


def test_a_set_below_four_fifths_of_the_last_needs_a_flag(writer: Writer) -> None:
    writer.write(*MANY)
    first = writer.build()
    writer.write(*MANY[:12])
    with pytest.raises(ValidationFailed, match="--allow-shrink"):
        writer.build()
    with writer.database.transaction() as conn:
        assert store.current_version(conn, writer.author.id, first.version.kind).id == first.version.id
    assert writer.build(allow_shrink=True).version.examples == 12


def test_what_does_not_pass_is_not_published_and_keeps_its_report(writer: Writer) -> None:
    def refuse(measures: Measures) -> Verdict:
        return Verdict(passed=False, findings=[("no_leak", False, "2 wrong")], report="<html>")

    writer.write(*MANY)
    with pytest.raises(NotValid, match=r"no_leak \(2 wrong\)") as refused:
        writer.build(validate=refuse)
    assert refused.value.verdict.report == "<html>"
    assert writer.rows("SELECT count(*) FROM training.examples") == [(0,)]


def test_going_back_to_earlier_texts_goes_back_to_the_earlier_version(writer: Writer) -> None:
    writer.write(*MANY)
    first = writer.build()
    writer.write(*MANY[:-1])
    second = writer.build()
    writer.write(*MANY)
    third = writer.build()
    assert third.version.id == first.version.id != second.version.id
    assert third.new
    with writer.database.transaction() as conn:
        assert store.current_version(conn, writer.author.id, first.version.kind).id == first.version.id


def test_after_forgetting_a_new_version_is_built_without_it(writer: Writer) -> None:
    writer.write(*MANY, embedded=True)
    first = writer.build()
    document = writer.document_at("7.md")
    forgetting.forget(writer.database, writer.warehouse, writer.author, [document], settings=writer.settings)
    second = writer.build()
    assert second.version.id != first.version.id
    made = examples(writer, second.version.id)
    assert all(document not in (one.document_id, *one.context_document_ids) for one in made)
    with writer.database.transaction() as conn:
        tainted = store.resolve_version(conn, writer.author.id, first.version.id)
        changes = diff(conn, tainted, second.version)
    assert tainted.tainted_at is not None
    assert any(one.why == "forgotten since" and one.document_id is None for one in changes)


def test_insisting_on_a_language_model_that_is_not_there_is_an_error(writer: Writer) -> None:
    writer.write(*MANY)
    writer.settings = replace_settings(writer, dataset_instructions="llm")
    with pytest.raises(ServiceUnavailable, match="TWIN_DATASET_INSTRUCTIONS"):
        writer.build()


def replace_settings(writer: Writer, **values: object):
    return writer.settings.model_copy(update=values)


def test_the_measure_of_words_is_that_of_the_record(writer: Writer) -> None:
    writer.write(*MANY)
    for one in examples(writer, writer.build().version.id):
        assert one.words == count_words(one.answer)
        assert replace(one, words=0) != one
