"""Bodies that are made to cost more than they are: each is answered, none with 5xx, and nobody waits for it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.app.test_server import BLOCKED_S
from tests.app.web_process import PATIENCE_S, Watch, Web, web_process
from tests.conftest import Services

SIZE = 15_000_000  # of most bodies; ARGUS_MAX_UPLOAD_MB is 16
MEMORY = 3 * SIZE + 32 * 1024**2  # of bodies, and of what the server takes beside: threads, connections, forms
JSON, FORM, URLENCODED = "application/json", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"
JOBS, OPENAI, A1111 = "/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"


class Bomb(NamedTuple):
    """A body that is sent to `path`; `headers` may lie about it."""

    name: str
    path: str
    kind: str
    body: Callable[[], bytes]
    headers: dict[str, str] = {}


def filled(before: str, repeated: str, after: str, size: int = SIZE) -> Callable[[], bytes]:
    """Something repeated, with something before and after it."""
    return lambda: f"{before}{repeated * ((size - 100) // len(repeated.encode()))}{after}".encode()


def part(text: str, name: str = "file", filename: str | None = "many.csv") -> str:
    """A part of a form."""
    file = f'; filename="{filename}"' if filename else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{text}'


def csv(before: str, repeated: str, after: str = "", filename: str = "many.csv") -> Callable[[], bytes]:
    """A form with a file."""
    return filled(part(before, filename=filename), repeated, f"{after}\r\n--b--\r\n")


def form(name: str, repeated: str, before: str = "") -> Callable[[], bytes]:
    """The page's form with a field of its own."""
    token = part("t", "argus_token", None) + "\r\n"
    return filled(token + part(before, name, None), repeated, "\r\n--b--\r\n")


def chunked(size: int, total: int = 1_000_000) -> Callable[[], bytes]:
    """A body in chunks of a size."""
    chunk = b"%x\r\n%b\r\n" % (size, b" " * size)
    return lambda: chunk * (total // size) + b"0\r\n\r\n"


OURS = {"Cookie": "argus_token=t"}
CHUNKED, LIE = {"Transfer-Encoding": "chunked"}, {"Content-Length": "15000000"}
BOMBS = [
    Bomb("lists in lists", JOBS, JSON, filled("", "[", "")),
    Bomb("objects in objects", JOBS, JSON, filled("", '{"a":', "")),
    Bomb("closed nesting", JOBS, JSON, lambda: b"[" * 7_000_000 + b"]" * 7_000_000),
    Bomb("nesting in a field", JOBS, JSON, lambda: b'{"prompts":' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}"),
    Bomb("empty lists", JOBS, JSON, filled('{"prompts":[', "[],", "[]]}")),
    Bomb("empty objects", JOBS, JSON, filled('{"prompts":[', "{},", "{}]}")),
    Bomb("empty texts", JOBS, JSON, filled('{"prompts":[', '"",', '""]}')),
    Bomb("digits in lists", JOBS, JSON, filled('{"seeds":[', "1,", "1]}")),
    Bomb("names", JOBS, JSON, lambda: json.dumps({f"n{i}": 0 for i in range(900_000)}).encode()),
    Bomb("one name again", JOBS, JSON, filled("{", '"a":1,', '"a":1}')),
    Bomb("names that hash alike", JOBS, JSON, lambda: json.dumps({str(i << 61): 0 for i in range(200_000)}).encode()),
    Bomb("a name of megabytes", JOBS, JSON, filled('{"', "n", '":1}')),
    Bomb("a whole number", JOBS, JSON, filled('{"prompt":"a","seed":', "9", "}")),
    Bomb("a fraction", JOBS, JSON, filled('{"prompt":"a","guidance":1.', "9", "}")),
    Bomb("an exponent", JOBS, JSON, filled('{"prompt":"a","guidance":1e', "9", "}")),
    Bomb("a negative exponent", JOBS, JSON, filled('{"prompt":"a","guidance":1e-', "9", "}")),
    Bomb("numbers of 4000 digits", JOBS, JSON, filled('{"prompt":"a","seeds":[', "9" * 4000 + ",", "1]}")),
    Bomb("a text", JOBS, JSON, filled('{"prompt":"', "a", '"}')),
    Bomb("a text of spaces", JOBS, JSON, filled('{"prompt":"', " ", '"}')),
    Bomb("spaces and letters", JOBS, JSON, filled('{"prompt":"', " a", '"}')),
    Bomb("a text of escapes", JOBS, JSON, filled('{"prompt":"', "\\u00e9", '"}')),
    Bomb("a text of line ends", JOBS, JSON, filled('{"prompt":"', "\\n", '"}')),
    Bomb("a wide text", JOBS, JSON, filled('{"prompt":"🦊', "a", '"}')),
    Bomb("a text of wide escapes", JOBS, JSON, filled('{"prompt":"\\ud83e\\udd8a', "a", '"}')),
    Bomb("a text that does not end", JOBS, JSON, filled('{"prompt":"', "a", "")),
    Bomb("a text of backslashes", JOBS, JSON, filled('{"prompt":"', "\\\\", '"}')),
    Bomb("long texts", JOBS, JSON, filled('{"prompts":[', '"' + "x" * 1500 + '",', '"a"]}')),
    Bomb("a long title", JOBS, JSON, filled('{"prompt":"a","title":"', "t", '"}')),
    Bomb("a long level", JOBS, JSON, filled('{"prompt":"a","level":"', "l", '"}')),
    Bomb("spaces", JOBS, JSON, filled("", " ", "")),
    Bomb("zeros", JOBS, JSON, filled("", "\0", "")),
    Bomb("no UTF-8", JOBS, JSON, lambda: b'{"prompt":"' + b"\xff" * SIZE + b'"}'),
    Bomb("UTF-16", JOBS, JSON, lambda: ('{"prompt":"' + "a" * (SIZE // 2 - 100) + '"}').encode("utf-16")),
    Bomb("UTF-32", JOBS, JSON, lambda: ('{"prompt":"' + "a" * (SIZE // 4 - 100) + '"}').encode("utf-32")),
    Bomb("compressed", JOBS, JSON, lambda: gzip.compress(b" " * 50_000_000, 1), {"Content-Encoding": "gzip"}),
    Bomb("deflated", JOBS, JSON, lambda: zlib.compress(b" " * 50_000_000, 1), {"Content-Encoding": "deflate"}),
    Bomb("OpenAI's words", OPENAI, JSON, filled('{"prompt":"a","size":"', "1", 'x1"}')),
    Bomb("A1111's styles", A1111, JSON, filled('{"prompt":"a","styles":[', '"",', '""]}')),
    Bomb("A1111's unknown fields", A1111, JSON, filled('{"prompt":"","x":"', "x", '"}')),
    Bomb("columns", JOBS + "/csv", FORM, csv("", "prompt,")),
    Bomb("cells", JOBS + "/csv", FORM, csv("prompt\n", "a,")),
    Bomb("a cell", JOBS + "/csv", FORM, csv('prompt\n"', "a", '"')),
    Bomb("a quote that does not end", JOBS + "/csv", FORM, csv('prompt\n"', "a\n")),
    Bomb("blank lines", JOBS + "/csv", FORM, csv("prompt\n", "\n")),
    Bomb("short prompts", JOBS + "/csv", FORM, csv("prompt\n", "a\n")),
    Bomb("a line of JSON", JOBS + "/csv", FORM, csv('{"prompt":"', "a", '"}', "many.jsonl")),
    Bomb("nested lines of JSON", JOBS + "/csv", FORM, csv("", "[" * 900 + "\n", "", "many.jsonl")),
    Bomb("wide lines of JSON", JOBS + "/csv", FORM, csv("", f"[{'1,' * 50_000}1]\n", "", "many.jsonl")),
    Bomb("parts", JOBS + "/csv", FORM, filled("", part("x", "n") + "\r\n", "--b--\r\n")),
    Bomb("a part that does not end", JOBS + "/csv", FORM, filled(part(""), "x", "")),
    Bomb("line ends in a part", JOBS + "/csv", FORM, csv("prompt\n", "\r\n")),
    Bomb("half boundaries", JOBS + "/csv", FORM, csv("prompt\n", "\r\n--")),
    Bomb("a part's header", JOBS + "/csv", FORM, filled("--b\r\nX: ", "x", "\r\n\r\n")),
    Bomb("a field of the form", "/", FORM, form("title", "t"), OURS),
    Bomb("prompts of the form", "/", FORM, form("prompts", "a\n"), OURS),
    Bomb("blank lines of the form", "/", FORM, form("prompts", " \n"), OURS),
    Bomb("a wide prompt of the form", "/", FORM, form("prompts", "a", "🦊"), OURS),
    Bomb("fields in parts", "/", FORM, form("x", "\r\n" + part("x", "n", None)), OURS),
    Bomb("coded prompts", "/", URLENCODED, filled("argus_token=t&prompts=", "a%0A", "")),
    Bomb("fields of the form", "/", URLENCODED, filled("", "a=&", "")),
    Bomb("percents", "/", URLENCODED, filled("prompts=", "%", "")),
    Bomb("chunks of a byte", JOBS, JSON, chunked(1, 200_000), CHUNKED),
    Bomb("chunks of a kilobyte", JOBS, JSON, chunked(1000), CHUNKED),
    Bomb("a chunk that lies", JOBS, JSON, lambda: b"ffffffffffffffff\r\n" + b"x" * 20_000_000, CHUNKED),
    Bomb(
        "a chunk's size in megabytes", JOBS, JSON, lambda: b"1" * 3_000_000 + b"\r\n\r\n" + b"x" * 20_000_000, CHUNKED
    ),
    Bomb("trailers", JOBS, JSON, lambda: b"0\r\n" + b"X: y\r\n" * 2_000_000 + b"\r\n", CHUNKED),
    Bomb("more than it says", JOBS, JSON, filled('{"prompt":"a"}', "x", ""), {"Content-Length": "14"}),
    Bomb("less than it says", JOBS, JSON, lambda: b'{"prompt":"a"}', LIE),
    Bomb("over the limit", JOBS, JSON, filled("", "x", "", 40_000_000)),
    Bomb("chunks over the limit", JOBS, JSON, chunked(100_000, 40_000_000), CHUNKED),
]


@pytest.fixture(scope="module")
def web(services: Services, family_file: Path) -> Iterator[Web]:
    with web_process(services, family_file) as running:
        running.submit(prompt="a fox")
        running.at_rest = running.memory()
        yield running


def throw(web: Web, bomb: Bomb, body: bytes) -> int | None:
    """The status answered; none where the server hung up in the middle of the body, or still waits for its rest."""
    connection = HTTPConnection("127.0.0.1", web.port, timeout=2 if bomb.headers is LIE else PATIENCE_S)
    headers = {"Content-Length": str(len(body)), **bomb.headers}
    if bomb.headers is CHUNKED:
        del headers["Content-Length"]
    try:
        connection.putrequest("POST", bomb.path)
        for name, value in {"Content-Type": bomb.kind, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with suppress(OSError):
            connection.send(body)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def test_there_are_as_many_kinds_as_promised() -> None:
    assert len({bomb.name for bomb in BOMBS}) == len(BOMBS) >= 50


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_body_made_to_cost_more_than_it_is_does_not(database: Services, web: Web, bomb: Bomb) -> None:
    body = bomb.body()
    web.forget_peak()
    with Watch(web) as watch:
        status = throw(web, bomb, body)
    grown = web.memory("VmHWM") - web.at_rest
    print(f"{status} {max(watch.seconds, default=0):6.2f} s {grown / 2**20:6.1f} MB")
    assert status is None or status < 500
    assert watch.problems == []
    assert max(watch.seconds, default=0.0) < BLOCKED_S
    assert grown < MEMORY
