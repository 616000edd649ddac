"""Which addresses may be told."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from core.errors import BadInput
from core.webhooks.addresses import may_be_told, resolve, target_of
from core.webhooks.sending import post
from tests.app.conftest import configured
from tests.core.webhooks.receivers import receiving

NOT_OF_THE_INTERNET = (
    *("127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1"),
    *("168.63.129.16", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("2002:7f00:1::", "2001:0:1::1", "64:ff9b:1::1"),
)


@pytest.mark.parametrize("address", NOT_OF_THE_INTERNET)
def test_addresses_that_are_not_of_the_internet_may_not_be_told(address: str) -> None:
    assert not may_be_told(ip_address(address))
    written = f"[{address}]" if ":" in address else address
    with pytest.raises(BadInput, match="ARGUS_WEBHOOK_PRIVATE"):
        target_of(f"http://{written}/")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_addresses_of_the_internet_may_be_told(address: str) -> None:
    assert may_be_told(ip_address(address))


@pytest.mark.parametrize("written", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"])
def test_other_ways_to_write_this_machine_are_refused_at_the_latest_when_it_is_told(written: str) -> None:
    with pytest.raises(BadInput, match="ARGUS_WEBHOOK_PRIVATE"):
        resolve(target_of(f"http://{written}:8080/"))


def test_networks_of_the_setting_may_be_told_and_no_others() -> None:
    with configured(ARGUS_WEBHOOK_PRIVATE="10.1.0.0/16, fd00::/8"):
        told = [may_be_told(ip_address(each)) for each in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "10.2.0.1")]
    assert told == [True, True, True, False]


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "https://", "https://user:pass@example.org/", "https://e.org/#x"),
        *("https://example.org:99999/", "https://e.org/a b", "https://é.org/", "https://e.org/\r\nX: 1", "http://[::1"),
        "https://example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        target_of(url)


def test_a_name_that_points_elsewhere_a_moment_later_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is asked once, and the connection goes to the address that was looked at."""
    asked = []

    def rebinding(name: str, port: int, *more: Any, **named: Any) -> Any:
        if name != "rebinding.example":
            return real(name, port, *more, **named)
        asked.append(name)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    real = socket.getaddrinfo
    with receiving() as receiver, configured(ARGUS_WEBHOOK_PRIVATE="127.0.0.1"):
        target = target_of(f"http://rebinding.example:{receiver.port}/x")
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        assert post(target, {}, "{}").status == 204
    assert asked == ["rebinding.example"]
    assert receiver.heard[0][0]["Host"] == f"rebinding.example:{receiver.port}"


def test_a_name_with_a_private_address_is_refused_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: inside)
    answer = post(target_of("http://metadata.example/latest"), {}, "{}")
    assert answer.status is None
    assert "metadata.example (169.254.169.254) is no address of the internet" in str(answer.error)
