"""The guard's rules: which addresses are refused in whatever spelling, and what the setting lets through."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from twin_core.collect.addresses import addresses_of, host_and_port, literal, why_internal
from twin_core.errors import InvalidInput, Refused

INTERNAL = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "2001:db8::1", "100::1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"]
# Every way of writing 127.0.0.1 and 169.254.169.254 that the system's resolver understands.
SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0",
    "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "127.0.0.1.",
]  # fmt: skip


def never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_refused(address: str) -> None:
    assert why_internal(ip_address(address)) is not None
    with pytest.raises(Refused, match="TWIN_CRAWL_ALLOW_HOSTS"):
        addresses_of("blog.example", 443, allow=[], resolve=lambda _host, _port: [address])


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_good(address: str) -> None:
    assert why_internal(ip_address(address)) is None
    assert addresses_of("blog.example", 443, allow=[], resolve=lambda _host, _port: [address]) == [address]


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_spelled_out_address_is_refused_without_a_lookup(host: str) -> None:
    assert literal(host.strip("[]").rstrip(".")) is not None
    with pytest.raises(Refused):
        addresses_of(host, 80, allow=[], resolve=never)


def test_one_internal_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(Refused, match=r"10\.0\.0\.8"):
        addresses_of("blog.example", 80, allow=[], resolve=lambda _host, _port: ["8.8.8.8", "10.0.0.8"])


@pytest.mark.parametrize(
    ("allow", "host", "port", "good"),
    [
        ("127.0.0.1", "127.0.0.1", 8899, True),
        ("127.0.0.1:8899", "127.0.0.1", 8899, True),
        ("127.0.0.1:8899", "127.0.0.1", 22, False),
        ("127.0.0.1", "127.0.0.2", 80, False),
        ("intranet.example", "INTRANET.example", 80, True),
        ("example", "intranet.example", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("127.0.0.1", "2130706433", 80, False),
    ],
)
def test_the_setting_allows_exactly_the_host_or_host_and_port_it_names(
    allow: str, host: str, port: int, *, good: bool
) -> None:
    resolve: Callable[[str, int], list[str]] = lambda _host, _port: ["10.0.0.8"]  # noqa: E731
    if good:
        assert addresses_of(host, port, allow=[allow], resolve=resolve)
    else:
        with pytest.raises(Refused):
            addresses_of(host, port, allow=[allow], resolve=resolve)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/", "does not start with"),
        ("file:///etc/passwd", "does not start with"),
        ("example.org", "does not start with"),
        ("http://", "names no host"),
        ("http://exa mple.org/", "blanks"),
        ("http://[::1/", "not a URL"),
        ("http://example.org:port/", "not a URL"),
        ("https://jane:secret@example.org/", "password"),
    ],
)
def test_what_is_no_web_address_is_refused_in_words(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        host_and_port(url)
    assert "secret" not in str(refused.value)
