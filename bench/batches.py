"""How much memory does a web process take for a batch of 50,000 lines? Uploaded, read in, drawn, its answers read.

    python -m bench.batches [--lines 50000] [--write]

PostgreSQL, Valkey and one web process, nothing else: instead of workers one statement leaves the rows as they would,
with one picture for all. Every tenth call wants its image as base64, the others a link. Said of each part: seconds, and
the most resident memory of the web process (VmHWM, set back before each part).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg2
import requests
from PIL import Image as Pictures

from bench.live.machine import hardware, told
from bench.own import keep, own_home, own_services, peak_mb, run_of
from core.images import ImageStore
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/batches.json", ROOT / "docs/results/batches.md"
GOAL_MB = 200
PATIENCE_S = 600.0
ADDRESS = "/v1/images/generations"
DRAWN = """
WITH done AS (
    UPDATE request SET state = 'done', level = 'exact', attempts = 1, started_at = now(), stored_at = now()
    WHERE state IN ('accepted', 'queued') RETURNING id, width, height
), tried AS (
    INSERT INTO attempt (id, request_id, number, worker, boot, level, model, outcome)
    SELECT gen_random_uuid(), id, 1, 'nobody', gen_random_uuid(), 'exact', 'none', 'done' FROM done
    RETURNING id, request_id
)
INSERT INTO image (id, request_id, attempt_id, key, width, height, bytes, sha256, level, model, family_version)
SELECT gen_random_uuid(), request_id, id, %s, 256, 256, %s, %s, 'exact', 'none', '1' FROM tried
"""


class Web:
    """The process that is measured."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def part(self, work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """What some work answers, its seconds and the memory it took."""
        self.forget_peak()
        began = time.monotonic()
        answer = work()
        return answer, {"seconds": time.monotonic() - began, "peak_mb": peak_mb(self.pid)}


@contextmanager
def site(home: Path) -> Iterator[tuple[Web, str]]:
    """A web process on services of its own, and the superuser's address."""
    with own_services(home) as services:
        url = services.web()
        yield Web(url, services.supervisor.pids()["web"]), services.superuser_url


def write_calls(path: Path, lines: int) -> None:
    """A file of calls as clients write it."""
    with path.open("w") as file:
        for number in range(lines):
            form = "url" if number % 10 else "b64_json"
            body = {"prompt": f"a red apple on table number {number}", "size": "256x256"}
            body |= {"model": "dall-e-3", "response_format": form}
            call = {"custom_id": f"request-{number}", "method": "POST", "url": ADDRESS, "body": body}
            file.write(json.dumps(call) + "\n")


def upload(web: Web, path: Path) -> str:
    """Send the file piece by piece; answers its id."""
    bound = uuid.uuid4().hex

    def form() -> Iterator[bytes]:
        yield f'--{bound}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode()
        yield f'--{bound}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'.encode()
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece
        yield f"\r\n--{bound}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={bound}"}
    return str(_json(requests.post(f"{web.url}/v1/files", data=form(), headers=headers, timeout=PATIENCE_S))["id"])


def make_batch(web: Web, file: str) -> str:
    """Make a batch of a file; answers its id."""
    wanted = {"input_file_id": file, "endpoint": ADDRESS, "completion_window": "24h"}
    return str(_json(requests.post(f"{web.url}/v1/batches", json=wanted, timeout=PATIENCE_S))["id"])


def until(web: Web, batch: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The batch, when something is so of it."""
    end = time.monotonic() + PATIENCE_S
    while not is_so(found := _json(requests.get(f"{web.url}/v1/batches/{batch}", timeout=PATIENCE_S))):
        assert time.monotonic() < end, found
        time.sleep(1.0)
    return found


def results(web: Web, file: str) -> tuple[int, int]:
    """Lines and bytes of a file of results, each line whole and another."""
    seen, size = set[str](), 0
    with requests.get(f"{web.url}/v1/files/{file}/content", stream=True, timeout=PATIENCE_S) as answer:
        for line in answer.iter_lines(1 << 16):
            told = json.loads(line)
            assert told["response"]["status_code"] == 200, told
            seen.add(told["custom_id"])
            size += len(line) + 1
    return len(seen), size


def measure(home: Path, lines: int) -> dict[str, Any]:
    """Each part with its seconds and memory."""
    calls = home / "calls.jsonl"
    write_calls(calls, lines)
    picture = ImageStore(str(home / "images")).put(uuid.uuid4(), Pictures.effect_noise((256, 256), 16).convert("RGB"))
    parts: dict[str, dict[str, float]] = {}
    with site(home) as (web, superuser), closing(psycopg2.connect(superuser)) as connection:
        connection.autocommit = True
        parts["at rest"] = {"seconds": 0.0, "peak_mb": peak_mb(web.pid)}
        file, parts["upload"] = web.part(lambda: upload(web, calls))

        def take_in() -> str:
            batch = make_batch(web, file)
            while stored(connection) < lines:
                time.sleep(1.0)
            return batch

        batch, parts["reading in"] = web.part(take_in)
        with connection.cursor() as cursor:
            cursor.execute(DRAWN, (picture.key, picture.bytes, picture.sha256))
        ended, parts["finalizing"] = web.part(lambda: until(web, batch, lambda it: it["status"] == "completed"))
        assert ended["request_counts"] == {"total": lines, "completed": lines, "failed": 0}, ended
        (found, size), parts["reading answers"] = web.part(lambda: results(web, ended["output_file_id"]))
        assert found == lines, found
    return {"parts": parts, "lines": lines, "file_mb": calls.stat().st_size / 1e6, "answers_mb": size / 1e6}


def stored(connection: Any) -> int:
    """How many requests there are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM request")
        return int(cursor.fetchone()[0])


def _json(answer: requests.Response) -> dict[str, Any]:
    assert answer.ok, answer.text
    return dict(answer.json())


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    rows = [f"| {name} | {part['seconds']:.1f} | {part['peak_mb']:.0f} |" for name, part in found["parts"].items()]
    return "\n".join(
        [
            "# A batch of many lines, and the memory of the web process",
            "",
            f"`{run['command']}`, {run['measured']}, commit {run['commit']}; {told(machine)}; "
            f"load average before {run['load_before']:.1f}. {found['lines']:,} calls in a file of "
            f"{found['file_mb']:.1f} MB, {found['answers_mb']:.0f} MB of answers (every tenth image as base64); "
            f"pictures are left by a statement, not drawn. The goal is under {GOAL_MB} MB.",
            "",
            "| part | seconds | most resident memory, MB |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


@click.command()
@click.option("--lines", default=50_000, show_default=True, help="Calls in the batch.")
@click.option("--write", is_flag=True, help="Write docs/results/batches.json and .md.")
def main(lines: int, write: bool) -> None:
    """Say how much memory the web process takes for a batch."""
    run = run_of("bench.batches")
    with own_home("batches") as home:
        found = {"run": run, "hardware": hardware(), **measure(home, lines)}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
