"""One POST to an address that is told: signed, to the address that was looked at, bounded in time and in size.

Redirects are not followed, proxies not asked, answers not unpacked.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException

import certifi
from standardwebhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from core.errors import BadInput
from core.webhooks.addresses import Target, resolve

CONNECT_S, READ_S, WHOLE_S = 5.0, 10.0, 20.0
ANSWER_BYTES = 1024  # of an answer that are read and kept


@dataclass(frozen=True)
class Answer:
    """What came back: a status with the beginning of the answer, or why there is none."""

    seconds: float
    status: int | None = None
    text: str | None = None
    error: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def signed(message: str, payload: str, secrets: Sequence[str]) -> dict[str, str]:
    """The headers by which the receiver knows who sends; each secret signs, the newest first."""
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "Argus-Webhooks",
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message, now, payload) for secret in secrets),
    }


def post(target: Target, headers: dict[str, str], payload: str, whole_s: float = WHOLE_S) -> Answer:
    """Send it; whatever goes wrong is part of the answer, which comes after `whole_s` seconds at the latest."""
    began = time.monotonic()
    status, text, why = None, None, None
    try:
        connection = _connection(target, resolve(target))
        try:
            status, text = _ask(connection, target, headers, payload, began + whole_s)
        finally:
            connection.close()
    except (OSError, HTTPError, HTTPException, ValueError, BadInput) as error:
        why = str(getattr(error, "message", None) or error) or type(error).__name__
    seconds = time.monotonic() - began
    if seconds >= whole_s:  # it was cut off, whatever had come until then
        return Answer(seconds, error=f"no answer within {whole_s:g} s")
    return Answer(seconds, status, text, why)


def _connection(target: Target, address: str) -> HTTPConnection:
    """A connection to this very address; a certificate has to be of the name all the same."""
    if target.scheme == "http":
        return HTTPConnection(address, target.port, timeout=CONNECT_S)
    return HTTPSConnection(
        address,
        target.port,
        timeout=CONNECT_S,
        server_hostname=target.name,
        assert_hostname=target.name,
        cert_reqs=ssl.CERT_REQUIRED,
        ca_certs=certifi.where(),
    )


def _ask(
    connection: HTTPConnection, target: Target, headers: dict[str, str], payload: str, end: float
) -> tuple[int, str]:
    """Status and the beginning of the answer's body. A connection that is not done by `end` is cut off: time-outs of
    sockets are of each piece, and a server may send its answer byte by byte."""
    cut = threading.Timer(max(0.0, end - time.monotonic()), _cut_off, [connection])
    cut.start()
    try:
        connection.connect()
        connection.sock.settimeout(READ_S)
        connection.request(
            "POST", target.path, payload.encode(), {**headers, "Host": target.host}, preload_content=False
        )
        answer = connection.getresponse()
        text = answer.read(ANSWER_BYTES, decode_content=False)
        return answer.status, text.decode("utf-8", "replace").replace("\0", "")
    finally:
        cut.cancel()


def _cut_off(connection: HTTPConnection) -> None:
    """End a connection that another thread reads from."""
    with (
        suppress(OSError, ValueError, AttributeError),
        socket.socket(fileno=os.dup(connection.sock.fileno())) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)
