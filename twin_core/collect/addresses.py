"""Which network addresses a person's URL may lead to. Pure rules, no connection is made here.

A URL given by a person must not become a way into the machine or its network (server-side request forgery): only
addresses that are routable on the whole internet are good, in whatever spelling. `guarded.py` applies this to every
connection, `repository.py` to every remote.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from twin_core.errors import InvalidInput, Refused

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Host and port -> the addresses that the name has now, as text. Raises OSError when it has none."""

# Anything of these shapes is read by the system's resolver as a number, not as a name: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)
# Addresses that the registries call global although a cloud answers there from the inside.
_INSIDE_CLOUDS = frozenset({ip_address("168.63.129.16")})
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ssh": 22}


def system_resolver(host: str, port: int) -> list[str]:
    """What the operating system says the name's addresses are, each once, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def why_internal(address: Address) -> str | None:
    """Why this address must not be fetched, in words; None when it is routable on the whole internet.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is judged by what it carries.
    """
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return why_internal(carried)
    for word in ("loopback", "link_local", "multicast", "unspecified", "reserved", "private"):
        if getattr(address, f"is_{word}"):
            return word.replace("_", "-")
    if isinstance(address, IPv6Address) and address.is_site_local:
        return "site-local"
    if address in _INSIDE_CLOUDS:
        return "cloud-internal"
    return None if address.is_global else "not globally routable"


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def literal(host: str) -> Address | None:
    """The address that a host spells out (also as decimal, octal or hexadecimal number); None for a name."""
    try:
        return ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    if _NUMBER.fullmatch(host):
        try:
            return IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return None


def is_allowed(host: str, port: int, allow: Collection[str]) -> bool:
    """Whether the setting names this host, or this host and port. The spelling must be the same but for case."""
    shown = f"[{host}]" if ":" in host else host
    wanted = {entry.strip().lower() for entry in allow}
    return not wanted.isdisjoint({host.lower(), shown.lower(), f"{shown}:{port}".lower()})


def addresses_of(host: str, port: int, *, allow: Collection[str], resolve: Resolver = system_resolver) -> list[str]:
    """The addresses that may be connected to for this host, resolved now; connect to these and to nothing else.

    Raises Refused when any of them is internal and the setting does not allow the host (a name with one good and one
    internal address is an attack or a mistake, never a blog), OSError when the name has no address.
    """
    host = host.strip("[]").rstrip(".")
    if not host:
        raise Refused("The URL names no host.")
    spelled = literal(host)
    found = [str(spelled)] if spelled is not None else list(resolve(host, port))
    if not found:
        raise OSError(f"the name {host} has no address")
    if is_allowed(host, port, allow):
        return found
    for text in found:
        reason = why_internal(ip_address(text.split("%", 1)[0]))
        if reason is not None:
            raise Refused(
                f"{host} leads to {text}, which is {reason}: only public addresses are fetched. If this host is yours, "
                f"allow it: TWIN_CRAWL_ALLOW_HOSTS='[\"{host}:{port}\"]'."
            )
    return found


def host_and_port(url: str, schemes: Collection[str] = ("http", "https")) -> tuple[str, int]:
    """Host (lower case, no brackets) and port of a URL.

    Raises InvalidInput for what is no URL, for other schemes, and for a URL with a password in it (it would be
    written to ledgers and pages).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"`{url}` is not a URL: {error}.") from error
    if parts.scheme.lower() not in schemes:
        raise InvalidInput(f"`{url}` does not start with {' or '.join(f'{scheme}://' for scheme in sorted(schemes))}.")
    if not host or any(character.isspace() or ord(character) < 32 for character in url):
        raise InvalidInput(f"`{url}` is not a URL: it names no host, or has blanks in it.")
    if parts.password is not None or (parts.username and parts.scheme.lower() in {"http", "https"}):
        raise InvalidInput("The URL holds a user name or password. Take it out: locators are shown and stored.")
    return host, port or _DEFAULT_PORTS[parts.scheme.lower()]
