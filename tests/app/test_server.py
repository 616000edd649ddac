"""The web server under clients that are slow, silent, many, or gone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app import create_app, server, waiting
from app.api import events
from core.settings import settings
from tests.app.conftest import configured
from tests.app.web_process import HEAD, PATIENCE_S, Watch, Web, web_process
from tests.conftest import Services

SLOW = 500
BLOCKED_S = 5.0  # measured: under half a second; a server that is blocked answers after tens of seconds


@pytest.fixture(scope="module")
def web(services: Services, family_file: Path) -> Iterator[Web]:
    with web_process(services, family_file, ARGUS_MAX_UPLOAD_MB="1") as running:
        yield running


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def send_slowly(connections: list[socket.socket], seconds: float) -> None:
    """A byte a second on each, as far as it is still open."""
    for _ in range(int(seconds)):
        for connection in connections:
            with suppress(OSError):
                connection.send(b"x")
        time.sleep(1)


def test_hundreds_of_slow_clients_cost_others_nothing_and_are_cut_off(database: Services, web: Web) -> None:
    headers = [web.connect() for _ in range(SLOW // 2)]
    bodies = [web.connect() for _ in range(SLOW // 2)]
    for connection in headers:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    for connection in bodies:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode())
    with Watch(web) as watch:
        send_slowly([*headers, *bodies], server.HEADER_S + 3)
    print(f"longest answer {max(watch.seconds):.3f} s of {len(watch.seconds)}")
    assert watch.problems == []
    assert len(watch.seconds) > 20
    assert max(watch.seconds) < BLOCKED_S
    assert all(has_ended(connection) for connection in headers)
    for connection in (*headers, *bodies):
        connection.close()


def test_a_body_over_the_limit_is_refused_before_it_comes(web: Web) -> None:
    with web.connect() as connection:
        connection.sendall(f"{HEAD}Content-Length: 99000000\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert answer.getheader("Server") is None
        assert json.loads(answer.read())["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("nonsense\r\n\r\n", 400, "bad_input"),
        (f"{HEAD}Content-Length: many\r\n\r\n", 400, "bad_input"),
        (f"{HEAD}Transfer-Encoding: gzip\r\n\r\n", 400, "bad_input"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_input"),
        (f"{HEAD}X-Long: {'x' * 40_000}\r\n\r\n", 413, "too_large"),
    ],
    ids=["no request", "length", "coding", "chunk", "header"],
)
def test_what_is_no_request_is_refused_like_every_other_error(web: Web, sent: str, status: int, code: str) -> None:
    with web.connect() as connection:
        connection.sendall(sent.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (status, code)


def test_more_streams_than_threads_run_and_their_places_are_given_back(database: Services, web: Web) -> None:
    path, begun = web.submit(prompt="a fox")["links"]["events"], time.monotonic()
    streams = [web.connect() for _ in range(waiting.CLIENT_STREAMS)]
    for stream in streams:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answers = {stream.recv(12) for stream in streams}
    if time.monotonic() - begun > events.LONGEST_S - 5:
        pytest.skip("too busy a machine: the first streams end before so many have begun")
    assert answers == {b"HTTP/1.1 200"}
    assert len(list(Path(f"/proc/{web.pid}/task").iterdir())) < waiting.CLIENT_STREAMS / 2
    assert web.call(path)[0] == 429
    for stream in streams:
        stream.close()
    stream_of(web, path).close()


def stream_of(web: Web, path: str) -> socket.socket:
    """A stream that has begun; a place is waited for where the one before has just hung up."""
    end = time.monotonic() + PATIENCE_S
    while True:
        stream = web.connect()
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        if stream.recv(12) == b"HTTP/1.1 200":
            return stream
        stream.close()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_told_to_stop_it_ends_streams_and_answers_what_has_come(
    database: Services, services: Services, family_file: Path
) -> None:
    with web_process(services, family_file) as web:
        path = web.submit(prompt="a fox")["links"]["events"]
        with web.connect() as stream, web.connect() as half:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert stream.recv(12) == b"HTTP/1.1 200"
            body = b'{"prompt":"a fox"}'
            half.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode())
            time.sleep(0.5)
            os.kill(web.pid, signal.SIGTERM)
            half.sendall(body)
            assert half.recv(12) == b"HTTP/1.1 202"
            while stream.recv(4096):
                pass
        end = time.monotonic() + PATIENCE_S
        while not has_exited(web.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert has_exited(web.pid)


def has_exited(pid: int) -> bool:
    """Whether a child of this process has ended, be it not yet waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


# --- in this process, with short times -------------------------------------------------------------------------------


@pytest.fixture
def short(services: Services, family_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[server.Server]:
    """A server with eight places for connections, that is patient for a second."""
    monkeypatch.setattr(server, "HEADER_S", 1.0)
    monkeypatch.setattr(server, "BODY_S", 1.0)
    monkeypatch.setattr(server, "CONNECTIONS", 18)
    with configured(ARGUS_FAMILY=str(family_file)):
        running = server.make_server(create_app(), server.listening("127.0.0.1", 0))
        thread = threading.Thread(target=running.run)
        thread.start()
        yield running
        running.leave()
        thread.join()
    waiting.LEAVING.clear()
    settings.cache_clear()


def wait_for_end(connection: socket.socket) -> None:
    end = time.monotonic() + PATIENCE_S
    while not has_ended(connection):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_body_that_does_not_come_is_cut_off(short: server.Server) -> None:
    with socket.create_connection(("127.0.0.1", int(short.effective_port))) as slow:
        slow.sendall(f"{HEAD}Content-Length: 1000\r\n\r\nx".encode())
        wait_for_end(slow)


def test_where_all_places_are_taken_the_slowest_makes_room(short: server.Server) -> None:
    address = ("127.0.0.1", int(short.effective_port))
    idle = [socket.create_connection(address) for _ in range(30)]
    asker = http.client.HTTPConnection(*address, timeout=PATIENCE_S)
    asker.request("GET", "/healthz")
    assert asker.getresponse().status == 200
    wait_for_end(idle[0])
    for connection in (*idle, asker):
        connection.close()


def test_health_answers_while_all_threads_wait(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "THREADS", 2)
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] != server.HEALTH:
            go_on.wait(PATIENCE_S)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    running = server.make_server(app, server.listening("127.0.0.1", 0))  # type: ignore[arg-type]
    thread = threading.Thread(target=running.run)
    thread.start()
    address = ("127.0.0.1", int(running.effective_port))
    stuck = [http.client.HTTPConnection(*address, timeout=PATIENCE_S) for _ in range(8)]
    try:
        for connection in stuck:
            connection.request("GET", "/")
        asker = http.client.HTTPConnection(*address, timeout=PATIENCE_S / 4)
        asker.request("GET", server.HEALTH)
        assert asker.getresponse().status == 200
        assert not go_on.is_set()
    finally:
        go_on.set()
        for connection in stuck:
            connection.close()
        running.leave()
        thread.join()
        waiting.LEAVING.clear()


def test_a_long_answer_is_not_kept_in_memory(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BUFFER_BYTES", 1024**2)
    piece, pieces, held = b"x" * 256 * 1024, 200, []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(len(piece) * pieces))])
        for _ in range(pieces):
            time.sleep(0.002)  # the client keeps up
            held.extend(buffer_bytes(running))
            yield piece

    running = server.make_server(app, server.listening("127.0.0.1", 0))  # type: ignore[arg-type]
    thread = threading.Thread(target=running.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", int(running.effective_port), timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        assert len(connection.getresponse().read()) == len(piece) * pieces
        assert 0 < max(held) < len(piece) * pieces / 4
    finally:
        connection.close()
        running.leave()
        thread.join()
        waiting.LEAVING.clear()


def buffer_bytes(running: server.Server) -> list[int]:
    """What the buffers of each connection keep in memory, sent or not."""
    kept = []
    for channel in list(running.active_channels.values()):
        files = [getattr(buffer.buf, "file", None) for buffer in list(channel.outbufs) if buffer.buf is not None]
        kept.append(sum(file.getbuffer().nbytes for file in files if hasattr(file, "getbuffer")))
    return kept


def test_a_web_process_does_without_the_planners_mathematics() -> None:
    heavy = "{'scipy', 'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, app; app.create_app('s'); print({heavy})"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "set()"
