"""Near-duplicates are recognised, and what merely shares a subject is not."""

from __future__ import annotations

from uuid import UUID, uuid4

from twin_core.text.fingerprint import clusters, signature, similarity, words

TEXT = " ".join(f"word{number % 97} and thing{number % 89}" for number in range(300))


def test_the_same_words_give_the_same_signature_whatever_the_layout() -> None:
    assert signature("One two\nthree four five six.") == signature("one  TWO three, four five\nsix")
    assert len(signature("")) == len(signature(TEXT)) == 512


def test_the_estimate_is_near_the_true_similarity() -> None:
    base = [f"w{number}" for number in range(1000)]
    changed = base[:900] + [f"v{number}" for number in range(100)]
    assert abs(similarity(signature(" ".join(base)), signature(" ".join(changed))) - 896 / 1096) < 0.13
    assert similarity(signature(" ".join(base)), signature(" ".join(reversed(base)))) < 0.05


def test_scripts_without_spaces_are_counted_by_character() -> None:
    assert words("北京 ok タワー") == ["北", "京", "ok", "タ", "ワ", "ー"]


def test_a_copy_with_an_edit_joins_the_earlier_one() -> None:
    first, other, copy = uuid4(), uuid4(), uuid4()
    found = clusters([(first, signature(TEXT)), (other, signature(TEXT[::-1])), (copy, signature(TEXT + " edited"))])
    assert found == {first: first, other: other, copy: first}


def test_clusters_do_not_depend_on_anything_but_the_order() -> None:
    ids = [UUID(int=number) for number in range(60)]
    signed = [
        (one, signature(f"{TEXT} {number // 20}" if number % 2 else f"alone {number}"))
        for number, one in enumerate(ids)
    ]
    found = clusters(signed)
    assert found == clusters(signed)
    assert {found[one] for number, one in enumerate(ids) if number % 2} == {ids[1]}
    assert all(found[one] == one for number, one in enumerate(ids) if not number % 2)
    assert clusters([]) == {}
