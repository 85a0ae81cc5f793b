"""Every way that is known of talking a fetcher into an internal network, tried on the real client: all refused.

`pytest -s tests/collect/test_guard_table.py` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.collect.site import Answer, Site
from twin_core.collect.guarded import FetchFailed, GuardedClient
from twin_core.errors import Refused
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]

SPELLED = [
    ("loopback", "http://127.0.0.1/"),
    ("loopback, another of its addresses", "http://127.8.9.10/"),
    ("loopback by name", "http://localhost/"),
    ("unspecified", "http://0.0.0.0/"),
    ("private 10/8", "http://10.1.2.3/"),
    ("private 172.16/12", "http://172.16.0.1/"),
    ("private 192.168/16", "http://192.168.1.1/"),
    ("carrier-grade NAT", "http://100.64.0.1/"),
    ("link-local", "http://169.254.1.1/"),
    ("cloud metadata", "http://169.254.169.254/latest/meta-data/"),
    ("cloud metadata, Azure", "http://168.63.129.16/"),
    ("cloud metadata over IPv6", "http://[fd00:ec2::254]/"),
    ("IPv6 loopback", "http://[::1]/"),
    ("IPv6 link-local", "http://[fe80::1]/"),
    ("IPv6 unique local", "http://[fc00::1]/"),
    ("IPv6-mapped loopback", "http://[::ffff:127.0.0.1]/"),
    ("IPv6-mapped metadata", "http://[::ffff:a9fe:a9fe]/"),
    ("IPv4-compatible IPv6", "http://[::127.0.0.1]/"),
    ("6to4", "http://[2002:7f00:1::]/"),
    ("NAT64", "http://[64:ff9b::7f00:1]/"),
    ("decimal", "http://2130706433/"),
    ("decimal metadata", "http://2852039166/"),
    ("octal", "http://0177.0.0.1/"),
    ("hexadecimal", "http://0x7f000001/"),
    ("hexadecimal by parts", "http://0x7f.0.0.1/"),
    ("short", "http://127.1/"),
    ("trailing dot", "http://127.0.0.1./"),
    ("fullwidth digits", "http://１２７.０.０.１/"),
    ("multicast", "http://224.0.0.1/"),
    ("broadcast", "http://255.255.255.255/"),
    ("password in the URL", "http://jane:secret@127.0.0.1/"),
    ("another scheme", "file:///etc/passwd"),
]
REDIRECTS = [
    ("redirect to loopback", "http://127.0.0.1:1/"),
    ("redirect to metadata", "http://169.254.169.254/latest/"),
    ("redirect to a private address", "http://10.0.0.1/"),
    ("redirect to IPv6 loopback", "http://[::1]/"),
    ("redirect to decimal", "http://2130706433/"),
    ("redirect to a file", "file:///etc/passwd"),
]
NAMES = [
    ("name with a private address", [["10.0.0.8"]]),
    ("name with a public and a private address", [["93.184.215.14", "10.0.0.8"]]),
    ("name, public first and private after (rebinding)", [["203.0.113.7"], ["127.0.0.1"]]),
    ("name, private IPv6 among public", [["93.184.215.14", "fd00::1"]]),
]
WIDTH = 52


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[list[tuple[str, str, str]]]:
    rows: list[tuple[str, str, str]] = []
    yield rows
    print()
    for what, url, verdict in rows:
        print(f"| {what:<{WIDTH}} | {url:<44} | {verdict} |")


def verdict(error: Exception) -> str:
    return "refused: " + str(error).split(": only public", maxsplit=1)[0].partition(" Take it out")[0][:100]


@pytest.mark.parametrize(("what", "url"), SPELLED)
def test_an_internal_address_is_refused_in_every_spelling(
    what: str, url: str, make_settings: MakeSettings, table: list[tuple[str, str, str]]
) -> None:
    with GuardedClient(make_settings(crawl_timeout_seconds=2.0)) as client, pytest.raises(Refused) as refused:
        client.get(url)
    assert "secret" not in str(refused.value)
    table.append((what, url, verdict(refused.value)))


@pytest.mark.parametrize(("what", "target"), REDIRECTS)
def test_a_redirect_into_it_is_refused(
    what: str, target: str, site: Site, make_settings: MakeSettings, table: list[tuple[str, str, str]]
) -> None:
    site.answers["/"] = Answer(status=302, headers={"Location": target})
    with GuardedClient(make_settings(crawl_allow_hosts=[site.host])) as client, pytest.raises(Refused) as refused:
        client.get(f"{site.url}/")
    assert site.asked() == ["/"]
    table.append((what, target, verdict(refused.value)))


@pytest.mark.parametrize(("what", "answers"), NAMES)
def test_a_name_that_leads_into_it_is_refused_at_the_connection(
    what: str, answers: list[list[str]], site: Site, make_settings: MakeSettings, table: list[tuple[str, str, str]]
) -> None:
    """The name is looked up once per connection, and that answer is the one that is connected to."""
    port = int(site.host.rsplit(":", 1)[1])
    given = iter(answers)
    settings = make_settings(crawl_timeout_seconds=0.3)
    with GuardedClient(settings, resolve=lambda _host, _port: next(given)) as client:
        for _ in answers[:-1]:
            with pytest.raises((Refused, FetchFailed)):  # a public address where nobody answers
                client.get(f"http://blog.test:{port}/")
        with pytest.raises(Refused) as refused:
            client.get(f"http://blog.test:{port}/")
    assert site.seen == []
    table.append((what, " then ".join("+".join(one) for one in answers), verdict(refused.value)))
