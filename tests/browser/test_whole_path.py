"""The whole path at the page, once: from an empty twin to a model that serves and a document that is forgotten.

Everything is real but the language model: Postgres, the API, Chromium, the site that is collected, the jobs that Dagster's
sensors ask for. Where a sensor would look every half minute, the story has it look now.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.champion.scenario import Bench
from tests.collect.site import Answer, Site, sitemap
from tests.collect.site import served as served_site
from tests.graph.scenario import Story
from tests.models.chat_server import ChatServer
from twin_assets.sensors import approvals, due_sources, forget_requests
from twin_core.settings import Settings
from twin_core.store import authors, keys
from twin_core.store.database import Database

pytestmark = pytest.mark.browser

DEMO = Path(__file__).parents[2] / "demo"
Sensor = Callable[..., object]


@pytest.fixture
def site() -> Iterator[Site]:
    """A small blog that is the author's own: two of the demo's articles."""
    with served_site(Site()) as running:
        running.page("/", "Welcome.", title="Blog")
        running.page("/tides", prose_of("restore-is-the-feature"), title="Tides and backups")
        running.page("/ropes", prose_of("the-queue-in-the-table"), title="Ropes and queues")
        listing = sitemap(running.url, ["/", "/tides", "/ropes"])
        running.answers["/sitemap.xml"] = Answer(listing, media_type="application/xml")
        yield running


def prose_of(name: str) -> str:
    """The paragraphs of an article of the demo, without front matter, headings, lists and code."""
    body = (DEMO / "articles" / f"{name}.md").read_text().split("---", 2)[2]
    return "\n\n".join(one.strip() for one in body.split("\n\n") if one.strip()[:1].isalpha())


@pytest.fixture
def settings(database_url: str, tmp_path: Path, engine: ChatServer, site: Site) -> Settings:
    return Settings(
        database_url=database_url,
        home=tmp_path / "home",
        role_secret="test secret",
        llm_url=engine.url,
        llm_engine="vllm",
        llm_model="base",
        llm_adapters=tmp_path / "adapters",
        llm_connect_seconds=10,
        crawl_allow_hosts=[site.host],
        crawl_requests_per_second=50,
        _env_file=None,
    )


@pytest.fixture
def story(settings: Settings, database: Database) -> Iterator[Story]:
    with database.transaction() as conn:
        author = authors.add_author(conn, slug="ann", name="Ann Example")
    with dg.instance_for_test() as instance:
        yield Story(settings, database, instance, author)


def act(story: Story, sensor: Sensor, job: str) -> None:
    """What the sensor asks for, carried out by the job that it names: in a thread, since Playwright keeps a loop in this one."""
    with ThreadPoolExecutor(1) as worker:
        worker.submit(_act, story, sensor, job).result()


def _act(story: Story, sensor: Sensor, job: str) -> None:
    with dg.build_sensor_context(
        instance=story.instance, definitions=story.definitions, resources=story.definitions.resources
    ) as context:
        asked = sensor(context)
    assert isinstance(asked, dg.SensorResult)
    assert asked.run_requests, asked.skip_reason
    for request in asked.run_requests:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        done = story.definitions.resolve_job_def(job).execute_in_process(
            instance=story.instance,
            partition_key=request.partition_key,
            tags=request.tags,
            run_config={**request.run_config, **quiet},
            raise_on_error=False,
        )
        assert done.success, [event.event_specific_data for event in done.all_events if event.is_failure]


def test_from_an_empty_twin_to_a_model_that_serves_and_a_document_that_is_forgotten(
    story: Story, site: Site, served: str, open_page: Open, tmp_path: Path
) -> None:
    with story.database.transaction() as conn:
        key = keys.create_key(conn, author_id=story.author.id, name="Ann's laptop", scopes=["admin"])
    page = open_page(served).sign_in(key.secret, "/sources")

    add_a_source_and_watch_its_ledger(page, story, site)
    import_an_export(page, story, tmp_path)
    write_open_a_citation_and_say_it_was_good(page, served, story)
    compare_and_approve(page, served, story)
    make_a_key_and_revoke_it(page, served)
    look_at_the_monitor(page, served)
    forget_a_document(page, served, story)
    see_that_the_model_is_tainted(page, served)


def add_a_source_and_watch_its_ledger(page: Page, story: Story, site: Site) -> None:
    form = page.locator("#add")
    form.get_by_label("Address").fill(site.url)
    form.get_by_label("Collect").select_option(label="when I ask")
    form.get_by_label("I wrote what is there").check()
    form.get_by_role("button", name="Add").click()
    card = page.locator("#list .card", has_text=site.host)
    expect(card.get_by_text("Asked for; the next run begins")).to_be_visible()
    act(story, due_sources, "refresh")
    expect(card.locator(".ledger li", has_text="/tides")).to_contain_text("fetched")
    expect(card.locator(".counts")).to_contain_text("2 fetched")


def import_an_export(page: Page, story: Story, tmp_path: Path) -> None:
    zipped = shutil.make_archive(str(tmp_path / "Basic_LinkedInDataExport"), "zip", DEMO / "exports" / "linkedin")
    form = page.locator("#import")
    form.locator("#file").set_input_files(zipped)
    expect(form.locator(".drop")).to_contain_text("Basic_LinkedInDataExport.zip")
    form.get_by_label("I wrote what is mine in it").check()
    form.get_by_role("button", name="Import").click()
    row = page.locator("#imports-list li", has_text="Basic_LinkedInDataExport.zip")
    expect(row).to_contain_text("waits for the next run")
    act(story, due_sources, "refresh")
    expect(row).to_contain_text("imported")
    expect(page.locator("#list .card", has_text="linkedin").locator(".counts")).to_contain_text("fetched")


def write_open_a_citation_and_say_it_was_good(page: Page, served: str, story: Story) -> None:
    page.goto(served + "/write")
    page.get_by_label("Brief").fill("Why I restore backups")
    page.get_by_role("button", name="Write", exact=True).click()
    draft = page.locator(".sheet")
    expect(draft.locator(".words")).to_contain_text("Restore is the feature")
    draft.get_by_role("button", name="Passage 1").click()
    expect(page.locator(".passage.open blockquote")).to_be_visible()
    draft.get_by_role("button", name="Good", exact=True).click()
    expect(draft.get_by_role("button", name="Good", exact=True)).to_have_attribute("aria-pressed", "true")
    draft.get_by_label("What to change").fill("shorter")
    draft.get_by_role("button", name="Revise").click()
    expect(page.get_by_role("tab", name="Revision 1")).to_have_attribute("aria-selected", "true")
    with story.database.transaction() as conn:
        assert conn.exec_driver_sql("SELECT verdict FROM serving.feedback").scalars().all() == ["up"]


def compare_and_approve(page: Page, served: str, story: Story) -> None:
    learnt = [("Tides and backups", "I restore before I trust."), ("Ropes and queues", "One table is a queue.")]
    bench = Bench(story.database, story.settings, slug="ann", texts=learnt, held_out=1)
    adapter = bench.adapter("one")
    bench.evaluate(adapter)
    page.goto(served + "/models")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("img", name="v1 minus the base model")).to_be_visible()
    page.get_by_role("button", name="Approve…").click()
    page.get_by_label("Reason").fill("It sounds like me.")
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Decided, and recorded.")).to_be_visible()
    act(story, approvals, "promote")
    expect(page.locator("#serving")).to_have_text("v1 answers now.")
    assert bench.serving() == "ann-v1"


def make_a_key_and_revoke_it(page: Page, served: str) -> None:
    page.goto(served + "/keys")
    page.get_by_label("Name").fill("newsletter")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#secret")).to_contain_text("twin_")
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Revoke newsletter").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.locator("#list li", has_text="newsletter")).to_contain_text("revoked")


def look_at_the_monitor(page: Page, served: str) -> None:
    page.goto(served + "/monitor")
    expect(page.locator(".figure").first).to_contain_text("answers and drafts")
    expect(page.get_by_role("img", name="Asked and drafted")).to_be_visible()
    expect(page.locator("#latest li").first).to_contain_text("Why I restore backups")


def forget_a_document(page: Page, served: str, story: Story) -> None:
    page.goto(served + "/documents")
    page.get_by_label("Search").fill("Tides and backups")
    page.keyboard.press("Enter")
    page.locator("#list").get_by_role("link", name="Tides and backups").click()
    reader = page.locator("#reader")
    expect(reader.locator(".words")).to_contain_text("Three hours and forty minutes")
    reader.get_by_role("button", name="Forget…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Tides and backups")
    page.get_by_role("button", name="Forget it").click()
    expect(reader.get_by_text("Asked for.")).to_be_visible()
    act(story, forget_requests, "forget")
    expect(reader.get_by_role("heading", name="Forgotten")).to_be_visible()
    counts = reader.locator("tbody tr")
    assert {row.split("\t")[-1] for row in counts.all_inner_texts()} == {"0"}
    page.reload()
    page.get_by_label("Search").fill("Tides and backups")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing fits.")).to_be_visible()


def see_that_the_model_is_tainted(page: Page, served: str) -> None:
    page.goto(served + "/models")
    expect(page.locator("#list .card")).to_contain_text("tainted: learnt what was forgotten")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("A document that it learnt was forgotten on")).to_be_visible()
