"""Which addresses may be told: of this machine and its networks none, unless ARGUS_WEBHOOK_PRIVATE lists the network.

A name is resolved when it is told, the addresses it has then are looked at, and the connection goes to the one that
was looked at: a name that points elsewhere a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from core.errors import BadInput
from core.settings import settings

MOST_CHARS = 2000
PORTS = {"http": 80, "https": 443}
NAT64 = ip_network("64:ff9b::/96")
TUNNELS = tuple(ip_network(each) for each in ("2002::/16", "2001::/32", "64:ff9b:1::/48"))  # 6to4, Teredo, local NAT64
SERVED_TO_GUESTS = (ip_address("168.63.129.16"),)  # a cloud's own services, at an address that looks public
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Target:
    """An address that is told, taken apart."""

    scheme: str
    name: str
    port: int
    path: str

    @property
    def host(self) -> str:
        """Name and port, as the `Host` header has them."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"


def target_of(url: str, field: str = "webhook") -> Target:
    """Take an address apart; resolves nothing.

    Raises:
        BadInput: it is no address of the web, has a password in it, or is an address that may not be told.
    """
    if len(url) > MOST_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise BadInput(f"The address has at most {MOST_CHARS} characters of ASCII, without spaces.", field=field)
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        name = port = None
    if not name or parts.scheme not in PORTS or port == 0 or "@" in parts.netloc or parts.fragment:
        raise BadInput("Write the address as https://example.org/path, without a password or a fragment.", field=field)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    found = Target(parts.scheme, name, port or PORTS[parts.scheme], path)
    address = literal(name)
    if address and not may_be_told(address):
        raise BadInput(refused(name), field=field)
    return found


def resolve(target: Target) -> str:
    """The address to connect to, one that may be told.

    Raises:
        OSError: the name has no address.
        BadInput: none of its addresses may be told.
    """
    found = socket.getaddrinfo(target.name, target.port, type=socket.SOCK_STREAM)
    addresses = [str(where[0]).partition("%")[0] for *_, where in found]
    told = next((each for each in addresses if may_be_told(ip_address(each))), None)
    if told is None:
        raise BadInput(refused(f"{target.name} ({addresses[0]})"), field="webhook")
    return told


def may_be_told(address: Address) -> bool:
    """Whether an address is one of the internet, or of a network that is allowed."""
    inner = _inner(address)
    allowed = settings().webhook_networks
    if any(_holds(network, address) or _holds(network, inner) for network in allowed):
        return True
    public = inner.is_global and not inner.is_multicast and not inner.is_reserved and inner not in SERVED_TO_GUESTS
    return public and not any(_holds(network, inner) for network in TUNNELS)


def literal(name: str) -> Address | None:
    """The address that a name writes, if it is one: also as the system's resolver reads `127.1` or `0x7f000001`."""
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        return ip_address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


def refused(what: str) -> str:
    """What is said of an address that may not be told."""
    return f"{what} is no address of the internet. ARGUS_WEBHOOK_PRIVATE lists networks that may be told all the same."


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _holds(network: IPv4Network | IPv6Network, address: Address) -> bool:
    return network.version == address.version and address in network
