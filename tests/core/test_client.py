"""The client of Argus' own programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from core.client import ArgusClient
from core.errors import ArgusError


class Full(BaseHTTPRequestHandler):
    """Takes nothing more for an hour."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": {"code": "too_much_waiting", "message": "full", "field": None}}).encode()
        self.send_response(429)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Forgetful(BaseHTTPRequestHandler):
    """Hangs up on the first two calls, as a server that ends does, and answers the third."""

    keys: list[str | None] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        if len(self.keys) < 3:
            self.connection.close()
            return
        body = json.dumps({"id": "1"}).encode()
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    Forgetful.keys = []
    server = HTTPServer(("127.0.0.1", 0), getattr(request, "param", Forgetful))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_submission_that_got_no_answer_is_sent_again_with_the_same_key(url: str) -> None:
    client = ArgusClient(url)
    assert client.submit({"prompt": "a fox"}) == {"id": "1"}
    assert len(Forgetful.keys) == 3
    assert len(set(Forgetful.keys)) == 1
    assert Forgetful.keys[0]
    client.submit({"prompt": "a fox"})
    assert Forgetful.keys[3] != Forgetful.keys[0]


@pytest.mark.parametrize("url", [Full], indirect=True)
@pytest.mark.timeout(60)
def test_a_refusal_is_told_at_once_however_long_it_says_to_wait(url: str) -> None:
    with pytest.raises(ArgusError, match="full"):
        ArgusClient(url).submit({"prompt": "a fox"})
