from twin_core.evaluation.prose import prose


def test_only_the_authors_sentences_are_left() -> None:
    text = """---
title: Not prose
---

# A Heading Of Mine

I keep *three* copies, and [one of them](https://example.org/copy) is `offline`. See <https://example.org>.

> Somebody else said this, and said it well.

```python
print("this is code")
```

- first the small one goes
- [Only a link here](https://example.org)

| a | table |
|---|---|
| with | cells in it |
"""
    assert prose(text) == ("I keep three copies, and one of them is. See.", "first the small one goes")


def test_code_that_is_taken_out_leaves_no_trace_in_the_marks() -> None:
    assert prose("Aliases such as `gls`, `ghead`, and `gyes` (`g`) come along.") == (
        "Aliases such as, and come along.",
    )


def test_brackets_that_held_only_code_go_with_it() -> None:
    assert prose("The lock is held by the worker (`pid`).") == ("The lock is held by the worker.",)


def test_quotes_are_the_platforms_and_become_plain() -> None:
    assert prose("It’s “done” by now…") == ('It\'s "done" by now...',)


def test_a_text_that_begins_like_front_matter_and_has_none_is_read_whole() -> None:
    assert "the rest of it all" in " ".join(prose("---\nkey: [broken\n---\n\nthe rest of it all"))


def test_a_text_without_prose_is_empty() -> None:
    assert prose("") == ()
    assert prose("```\nonly = code\n```") == ()
