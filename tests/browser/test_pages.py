"""The pages as people meet them: without a mouse, on a phone, in the dark, with a key that may little, and before hostile text."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import Api
from tests.browser.conftest import PHONE, Open
from tests.models.chat_server import ChatServer
from twin_api.pages import PAGES

pytestmark = pytest.mark.browser

HOSTILE = """<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>
![a pixel](https://elsewhere.example/pixel.png?secret=1) and [click me](javascript:document.title='owned')
[a page](https://elsewhere.example/page) [mail](mailto:a@elsewhere.example) [data](data:text/html,<b>x</b>) <https://elsewhere.example/auto>

# <b>A heading</b>

- one **bold** and *slanted* `code <i>`
- [1] and [99]

> quoted <iframe src="https://elsewhere.example"></iframe>

```html
<script>document.title='owned'</script>
```
"""


def tab_to(page: Page, name: str, *, most: int = 60) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(document.activeElement.ariaLabel || document.activeElement.labels?.[0]?.innerText "
            "|| document.activeElement.innerText || '').trim()"
        )
        if found == name:
            return
    raise AssertionError(f"{name} is not reached with Tab")


def test_without_a_mouse_one_signs_in_writes_opens_a_passage_and_comes_back(api: Api, open_page: Open) -> None:
    page = open_page(api.url).page
    page.goto(api.url + "/write")
    page.wait_for_url("**/?next=%2Fwrite")
    expect(page.get_by_label("Key")).to_be_focused()
    page.keyboard.type(api.new_key(api.jane, "write").secret)
    page.keyboard.press("Enter")
    page.wait_for_url("**/write")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "Brief")
    page.keyboard.type("Why I restore a backup every month")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").filter(has_text="Written: ")).to_be_visible()
    tab_to(page, "Passage 1")
    page.keyboard.press("Enter")
    passage = page.locator(".passage.open")
    expect(passage).to_be_focused()
    expect(passage.locator("blockquote")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Passage 1")).to_be_focused()
    tab_to(page, "Good")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Good", exact=True)).to_have_attribute("aria-pressed", "true")


def test_every_page_fits_a_phone_and_its_menu_opens(api: Api, open_page: Open) -> None:
    watched = open_page(api.url, viewport=PHONE, dark=True)
    page = watched.sign_in(api.new_key(api.jane, "admin").secret)
    wide = {}
    for path in [path for path in PAGES if path != "/"]:
        page.goto(api.url + path)
        page.wait_for_load_state("networkidle")
        wide[path] = watched.overflow()
        expect(page.locator("h1")).to_be_visible()
    assert wide == dict.fromkeys(wide, 0)
    expect(page.get_by_role("link", name="Ask")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Ask").click()
    page.wait_for_url("**/ask")


def test_hostile_text_of_a_model_stays_text(api: Api, engine: ChatServer, open_page: Open) -> None:
    engine.words = tuple(HOSTILE[at : at + 7] for at in range(0, len(HOSTILE), 7))
    page = open_page(api.url).sign_in(api.key, "/ask")
    page.get_by_label("Question").fill("How do I restore a backup?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answer = page.locator("#turns .words")
    expect(answer.get_by_role("heading", name="<b>A heading</b>")).to_be_visible()
    expect(page.get_by_role("button", name="Passage 1")).to_be_visible()
    assert answer.locator("img, script, iframe, b, [onerror]").count() == 0
    links = [link.get_attribute("href") or "" for link in answer.locator("a").all()]
    # The page, the mail, the address in angles, and the one that stands in the frame's tag, which is text like any other.
    assert [link.split(":")[0] for link in links] == ["https", "mailto", "https", "https"]
    assert all("noopener" in (link.get_attribute("rel") or "") for link in answer.locator("a").all())
    text = answer.inner_text()
    assert "[image: a pixel]" in text
    assert "[99]" in text
    assert "document.title='owned'" in text
    assert page.title() == "Ask · LLM Twin"


def test_text_of_any_size_and_shape_is_rendered_in_no_time(api: Api, open_page: Open) -> None:
    page = open_page(api.url).sign_in(api.key, "/ask")
    shapes = ["*" * 20_000, "[" * 20_000, "> " * 5_000, "`" * 20_000, "**a " * 8_000, "- " * 8_000, "![](" * 8_000]
    for shape in shapes:
        seconds = page.evaluate(
            """async (text) => {
                const { markdown } = await import("/web/markdown.js");
                const from = performance.now();
                markdown(text, () => null);
                return (performance.now() - from) / 1000;
            }""",
            shape,
        )
        assert seconds < 2, f"{shape[:4]} took {seconds:.1f} s"


def test_a_conversation_goes_on_names_its_passages_and_is_taught(
    api: Api,
    engine: ChatServer,
    open_page: Open,
) -> None:
    page = open_page(api.url).sign_in(api.new_key(api.jane, "write").secret, "/ask")
    for question in ("How do I restore a backup?", "And where to?"):
        page.get_by_label("Question").fill(question)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#turns .turn", has_text=question).get_by_role("button", name="Copy")).to_be_visible()
    assert [turn["content"] for turn in engine.requests[-1]["messages"] if turn["role"] == "assistant"] == [
        "Restore is the feature [1]."
    ]
    last = page.locator("#turns .turn").last
    last.get_by_role("button", name="Passage 1").click()
    expect(page.locator(".passage.open")).to_be_visible()
    page.get_by_role("link", name="Read it where it stands").click()
    page.wait_for_url("**/documents?id=*")
    page.go_back()
    page.get_by_label("Question").fill("How do I restore a backup?")
    page.keyboard.press("Control+Enter")
    turn = page.locator("#turns .turn").first
    turn.get_by_role("button", name="Edit and keep").click()
    page.get_by_label("Your version").fill("I restore one every month, on a clean machine.")
    page.get_by_role("button", name="Keep my version").click()
    expect(turn.locator(".words")).to_have_text("I restore one every month, on a clean machine.")
    with api.database.transaction() as conn:
        kept = conn.exec_driver_sql("SELECT edited FROM serving.feedback").scalars().all()
    assert kept == ["I restore one every month, on a clean machine."]


def test_when_the_model_stays_away_or_breaks_off_the_page_says_so(
    api: Api,
    engine: ChatServer,
    open_page: Open,
) -> None:
    page = open_page(api.url).sign_in(api.key, "/ask")
    for fault, said in (("500", "No language model answered"), ("reset", "broke off")):
        engine.fault = fault
        page.get_by_label("Question").fill(f"How do I restore a backup with {fault}?")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text=said).first).to_be_visible()


def test_a_key_that_may_only_read_is_told_so_and_a_wrong_one_does_not_get_in(api: Api, open_page: Open) -> None:
    page = open_page(api.url).page
    page.goto(api.url + "/")
    page.get_by_label("Key").fill("twin_" + "x" * 43)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="unknown, expired or revoked")).to_be_visible()
    page.get_by_label("Key").fill(api.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/write")
    expect(page.get_by_role("button", name="Write", exact=True)).to_be_disabled()
    expect(page.get_by_role("alert").filter(has_text="may read only")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(api.url + "/")
    page.goto(api.url + "/documents?id=1")
    page.wait_for_url("**/?next=%2Fdocuments%3Fid%3D1")


def test_the_door_leads_to_pages_of_this_server_alone(api: Api, open_page: Open) -> None:
    watched = open_page(api.url)
    for wanted in ("https://elsewhere.example/", "//elsewhere.example/write", "javascript:alert(1)", "/v1/keys"):
        watched.page.context.clear_cookies()
        watched.page.goto(f"{api.url}/?next={wanted}")
        watched.page.get_by_label("Key").fill(api.key)
        watched.page.get_by_role("button", name="Sign in").click()
        watched.page.wait_for_url(api.url + "/write")


def test_documents_are_found_by_title_and_by_what_they_say(api: Api, open_page: Open) -> None:
    page = open_page(api.url).sign_in(api.key, "/documents")
    rows = page.locator("#list li")
    expect(rows).to_have_count(3)
    page.get_by_label("Search").fill("queue")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    page.get_by_label("Search").fill("bread dough when it is hot")
    page.get_by_label("In", exact=True).select_option("texts")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("Rye in a heatwave")
    rows.first.get_by_role("link").click()
    expect(page.locator("#reader mark")).to_contain_text("rye starter doubles")
    page.get_by_label("Search").fill("zebra")
    page.get_by_label("In", exact=True).select_option("titles")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing fits.")).to_be_visible()


def test_a_search_asked_while_the_list_still_loads_is_the_one_that_is_shown(api: Api, open_page: Open) -> None:
    page = open_page(api.url).sign_in(api.key, "/documents")
    expect(page.locator("#list li")).to_have_count(3)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/documents?limit=30", hold)
    page.reload()
    expect(page.locator("#list")).to_have_attribute("aria-busy", "true")
    page.get_by_label("Search").fill("queue")
    page.keyboard.press("Enter")
    expect(page.locator("#list li")).to_have_count(1)
    for late in held:
        late.continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#list li")).to_have_count(1)


def test_the_next_question_may_be_typed_while_an_answer_is_written(
    api: Api, engine: ChatServer, open_page: Open
) -> None:
    engine.words, engine.pause = ("One. ", "Two. ", "The end."), 0.5
    page = open_page(api.url).sign_in(api.key, "/ask")
    question = page.get_by_label("Question")
    question.fill("Why restore a backup?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("One.")).to_be_visible()
    question.fill("And how often?")
    expect(page.get_by_text("The end.")).to_be_visible()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#turns > li")).to_have_count(2)
    expect(question).to_have_value("And how often?")
    expect(page.get_by_text("The end.")).to_have_count(2)
    expect(question).to_have_value("")


def test_long_lines_of_code_in_an_answer_do_not_push_it_over_its_sources(
    api: Api, engine: ChatServer, open_page: Open
) -> None:
    engine.words = ("As here [1]:\n\n```\n", "restore --from backup " * 40, "\n```\n\n", "A_NAME_WITHOUT_AN_END" * 20)
    page = open_page(api.url, viewport={"width": 1280, "height": 900}).sign_in(api.key, "/ask")
    page.get_by_label("Question").fill("Why restore a backup?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("button", name="Edit and keep")).to_be_visible()
    answer, sources = page.locator("#turns").bounding_box(), page.locator("#passages").bounding_box()
    assert answer is not None
    assert sources is not None
    assert answer["x"] + answer["width"] <= sources["x"]
