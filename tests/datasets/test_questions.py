"""Questions with cited answers: what they quote, where their labels stand, and that held-out text is in none of them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.scenario import Writer, article, code, post
from twin_core.datasets.passages import sections
from twin_core.datasets.questions import question, under_label
from twin_core.prompts.quoting import quoted
from twin_core.records import QUESTION, Category, CleanedDocument, Split
from twin_core.store import datasets as store
from twin_core.writing.citations import cited_labels

MIXED = [*(article(number) for number in range(60)), *(post(number) for number in range(60, 70)), code(70)]


def document(text: str, category: Category = Category.ARTICLE) -> CleanedDocument:
    return CleanedDocument(
        document_id=UUID(int=1), revision_id=UUID(int=2), author_id=UUID(int=3), category=category, title="On ropes", text=text,
        text_hash="", language="en", words=len(text.split()), location="ropes.md", written_at=None,
    )  # fmt: skip


def test_what_is_learnt_cites_the_authors_passage_and_what_is_held_out_is_not_in_its_prompt(writer: Writer) -> None:
    writer.write(*MIXED, embedded=True)
    built = writer.build()
    with writer.database.transaction() as conn:
        made = [one for one in store.examples_of(conn, built.version.id) if one.origin == QUESTION]
        sides = store.members_of(conn, built.version.id)
        held = {name for name, origin in store.origins_of(conn, built.version.id).items() if origin.split == Split.TEST}
    learnt = [one for one in made if sides[one.id] == Split.TRAIN]
    asked = [one for one in made if sides[one.id] == Split.TEST]
    assert 5 < len(learnt) < 30
    assert len({one.document_id for one in asked}) == len(asked) > 25
    assert all(one.category != Category.CODE for one in made)
    for one in learnt:
        shown = quoted(one.prompt[-1][1])
        (label,) = cited_labels(one.answer, range(1, len(shown) + 1))
        said = one.answer.replace(f" [{label}]", "")
        assert said in " ".join(shown[label - 1].split())
        assert one.answer.count(f"[{label}]") == said.count(".")
        assert not held & {one.document_id, *one.context_document_ids}
    assert len({next(iter(cited_labels(one.answer, range(1, 9)))) for one in learnt}) > 1, "the label is in one place"
    for one in asked:
        user = one.prompt[-1][1]
        assert quoted(user)
        assert one.answer not in " ".join(user.split())
        assert not held & set(one.context_document_ids)


def test_building_again_makes_no_question_anew_and_a_set_without_passages_has_none(writer: Writer) -> None:
    writer.write(*MIXED[:30], embedded=True)
    assert writer.build().counts["questions"] > 0
    writer.write(*MIXED[:31], embedded=True)
    assert writer.build().counts["examples made"] <= 4
    writer.settings = writer.settings.model_copy(update={"dataset_context_passages": 0})
    assert writer.build(allow_shrink=True).counts["questions"] == 0


def test_a_question_asks_for_whole_sentences_outside_lists_headings_and_code() -> None:
    text = (
        "## Splices\n\n- a list of ropes and more ropes that goes on and on\n\n```sh\nsplice --rope; It is code. Not said.\n```\n\n"
        "An eye splice holds, e.g. on a jetty, for a decade of bad winters and worse sailors. I cut it only once."
    )
    (section,) = sections(document(text))
    found = question(section, section.text)
    assert found is not None
    assert found.answer.startswith("An eye splice holds, e.g. on a jetty")
    assert found.answer.endswith("I cut it only once.")
    assert found.instruction == "What did you write about “Splices” in “On ropes”?"
    assert under_label(found.answer, 2).count("[2]") == 2
    bare = replace(section, document=document("x = 1\n" * 30, Category.CODE))
    assert question(bare, "x = 1\n" * 30) is None
    assert question(section, "- a list\n- and nothing else") is None


@given(st.text(max_size=400), st.integers(1, 9))
def test_labels_change_nothing_else(text: str, label: int) -> None:
    line = " ".join(text.replace("[", "").split())
    assert under_label(line, label).replace(f" [{label}]", "").split() == line.split()
