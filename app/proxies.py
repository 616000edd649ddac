"""Who is the client of a request that came through proxies, and by which name, scheme and path it called.

`X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are believed only from addresses in ARGUS_TRUSTED_PROXIES; others
have them removed. Without a prefix from there, Argus is at the path of ARGUS_PUBLIC_URL, whether the proxy cuts it off
or not. werkzeug's ProxyFix counts hops instead of looking who speaks, waitress trusts one address: with neither do
several networks come out right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

PREFIX = "HTTP_X_FORWARDED_"
PATH = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.~-]{1,100}){1,10}", re.ASCII)
SCHEMES = ("http", "https")
Address = IPv4Address | IPv6Address
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class TrustedProxies:
    """A WSGI app behind proxies in these networks."""

    def __init__(self, app: WsgiApp, networks: Sequence[IPv4Network | IPv6Network], public_path: str = "") -> None:
        self._app, self._networks, self._public_path = app, networks, public_path

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request as the client's own."""
        told = {name: environ.pop(name) for name in list(environ) if name.startswith(PREFIX)}
        if path := self._public_path:
            _set_below(environ, path)
        if self._trusts(_address(environ.get("REMOTE_ADDR", ""))):
            environ["REMOTE_ADDR"] = self._client(environ["REMOTE_ADDR"], told.get(f"{PREFIX}FOR", ""))
            if (scheme := _last(told.get(f"{PREFIX}PROTO", "")).lower()) in SCHEMES:
                environ["wsgi.url_scheme"] = scheme
            if host := _last(told.get(f"{PREFIX}HOST", "")):
                environ["HTTP_HOST"] = host  # ARGUS_HOSTS has still to know it
            if PATH.fullmatch(prefix := _last(told.get(f"{PREFIX}PREFIX", "")).rstrip("/")):
                environ["SCRIPT_NAME"] = prefix  # which the proxy has cut off
        return self._app(environ, start_response)

    def _client(self, peer: str, path: str) -> str:
        """The last address on the way that is no proxy of ours; what stands before it is only somebody's word."""
        for hop in reversed(path.split(",")):
            address = _address(hop)
            if address is None:
                break
            peer = str(address)
            if not self._trusts(address):
                break
        return peer

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _set_below(environ: dict[str, Any], path: str) -> None:
    """Say that the app is at this path; what is asked for may begin with it or not."""
    asked = environ.get("PATH_INFO", "")
    environ["SCRIPT_NAME"] = path
    if asked == path or asked.startswith(f"{path}/"):
        environ["PATH_INFO"] = asked[len(path) :] or "/"


def _last(values: str) -> str:
    """What the nearest proxy added."""
    return values.rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """The address that a proxy wrote, with or without brackets and port; none where it is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
