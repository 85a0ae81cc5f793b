"""What comes from an export and then live is one document at two locations: the ids of both are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.collect.exports import builders
from tests.collect.exports.conftest import Importing
from tests.collect.scripted import CONSENT
from tests.collect.site import Site
from tests.collect.test_linkedin import TOKEN, Portability
from tests.collect.test_medium import entry, feed
from tests.collect.test_substack import Publication, piece
from twin_core.records import SourceReport
from twin_core.store import authors


@pytest.fixture
def live(site: Site, importing: Importing) -> Callable[[str, str], SourceReport]:
    """Collect a live source of the author whose exports are imported."""
    importing.settings = importing.settings.model_copy(
        update={
            "crawl_allow_hosts": [site.host],
            "crawl_requests_per_second": 1000.0,
            "medium_url": site.url,
            "linkedin_api_url": site.url,
            "linkedin_tokens": {"jane-doe": SecretStr(TOKEN)},
        }
    )

    def collect(platform: str, locator: str) -> SourceReport:
        with importing.database.transaction() as conn:
            source = authors.add_source(
                conn, author_id=importing.author.id, platform=platform, locator=locator, consent=CONSENT
            )
        return importing.sync(source)

    return collect


def met(importing: Importing) -> dict[str, int]:
    """Platform's id -> in how many places the document is that has it."""
    with importing.database.transaction() as conn:
        rows = conn.execute(
            text("""
                SELECT max(platform_id) AS platform_id, count(*) AS places FROM warehouse.document_locations
                WHERE platform_id IS NOT NULL AND state = 'live' GROUP BY document_id
            """)
        )
        return {row.platform_id: row.places for row in rows}


def test_a_story_and_a_comment_of_medium(
    site: Site, importing: Importing, live: Callable[[str, str], SourceReport], tmp_path: Path
) -> None:
    importing.import_(builders.medium(tmp_path / "medium"))
    story = "<p>A name is a promise.</p><pre>def refit(ship):<br>    return ship</pre><p>Keep it &lt;short&gt;.</p>"
    site.answers["/feed/@jane.doe"] = feed(
        entry("3f2a9c11b0de", "Naming & other things", content=story, tags=("Naming", "Code")),
        entry(
            "0a1b2c3d4e5f", "I agree with this.", content="<p>I agree with this. We tried it for a year.</p>", tags=()
        ),
    )
    report = live("medium", "https://medium.com/@jane.doe")
    assert (report.failed, report.error) == (0, None)
    assert met(importing) == {"medium:3f2a9c11b0de": 2, "medium:0a1b2c3d4e5f": 2}


def test_a_letter_of_substack(
    site: Site, importing: Importing, live: Callable[[str, str], SourceReport], tmp_path: Path
) -> None:
    importing.import_(builders.substack(tmp_path / "substack"))
    body = "<p>Plain text waits for you.</p><h2>Patience</h2><ul><li>one</li><li>two</li></ul><blockquote><p>Slow is smooth.</p></blockquote>"
    Publication(site, [piece(1, id=123401, slug="plain-text", title="Plain text & patience", body_html=body)])
    report = live("substack", site.url)
    assert (report.failed, report.error) == (0, None)
    assert met(importing)["substack:123401"] == 2


def test_shares_and_comments_of_linkedin(
    site: Site, importing: Importing, live: Callable[[str, str], SourceReport], tmp_path: Path
) -> None:
    importing.import_(builders.linkedin(tmp_path / "linkedin"))
    before = met(importing)
    service = Portability(site)
    urn = quote("urn:li:comment:(activity:7000000000000000009,7000000000000000010)", safe="")
    service.domains = {
        "ARTICLES": [
            {
                "Title": "How we cut the queue", "PublishedDate": "2024-02-24 00:09:00",
                "ArticleLink": "https://www.linkedin.com/pulse/how-we-cut-queue-jane-doe-abcde?trk=x",
                "Content": "<p>First, we counted. Then we <strong>stopped</strong>.</p><pre><code>SELECT count(*)\n  FROM "
                "jobs</code></pre><blockquote>Queues are where hope waits.</blockquote>",
            }
        ],
        "MEMBER_SHARE_INFO": [
            {
                "Date": date, "ShareLink": "https://www.linkedin.com/feed/update/" + quote(f"urn:li:share:{number}", safe=""),
                "ShareCommentary": said.replace("\n", '"\n"'), "Visibility": visibility,
            }
            for date, number, said, visibility in builders.SHARES
        ],
        "ALL_COMMENTS": [
            {
                "Date": "2024-04-01 12:00:00", "Message": 'She said "measure first", and she was right.',
                "Link": f"https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A7000000000000000009?commentUrn={urn}",
            }
        ],
    }  # fmt: skip
    report = live("linkedin", "https://www.linkedin.com/in/jane-doe")
    assert (report.failed, report.error) == (0, None)
    assert before
    assert met(importing) == dict.fromkeys(before, 2)
