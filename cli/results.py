"""`argus results` and `argus wait`: a job's images into a folder or a bucket, and when they are there; over REST."""

from __future__ import annotations

import shutil
import tarfile
import uuid
from pathlib import Path
from typing import IO, Any

import click

from cli.job_view import standing, until_done
from cli.moves import FILTERS, written
from cli.rest import URL, client_at
from cli.terminal import JSON_OUT, having, make_console, shows_table, write_json
from core.errors import EngineError


@click.command()
@click.argument("job", type=click.UUID)
@click.option("--to", required=True, metavar="PLACE", help="A folder, or any fsspec URL: s3://bucket/prefix.")
@having(FILTERS)
@click.option("--json", "out", type=JSON_OUT, help="Write how many there are, and where, as JSON (- is stdout).")
@URL
def results(job: uuid.UUID, to: str, out: Path | None, url: str | None, **asked: Any) -> None:
    """Write the images of JOB and their manifest into a folder or a bucket.

    What is there under the same name is replaced, so it may be run again while the job goes on.
    """
    with client_at(url).stream(f"/v1/jobs/{job}/results.tar", written(asked)) as source:
        count = unpack(source, to)
    write_json(out, {"images": count, "place": to})
    if shows_table(out):
        click.echo(f"{count:,} images and their manifest are in {to}.")


@click.command()
@click.argument("job", type=click.UUID)
@click.option("--json", "out", type=JSON_OUT, help="Write the job as it ended as JSON (- is stdout).")
@URL
def wait(job: uuid.UUID, out: Path | None, url: str | None) -> None:
    """Wait until nothing of JOB is open, and say how far it is meanwhile.

    Exit status 1 when an image was not made. What is paused is waited for.
    """
    client = client_at(url)
    ended = until_done(make_console(stderr=True), client, client.job(str(job)))
    write_json(out, ended)
    if shows_table(out):
        click.echo(standing(ended))
    counts = ended["counts"]
    if counts["failed"] + counts["cancelled"]:
        raise EngineError(f"{counts['failed']:,} images failed and {counts['cancelled']:,} were cancelled.")


def unpack(source: IO[bytes], to: str) -> int:
    """Write each file of a tar, as it comes, below a folder or URL; returns how many images there were."""
    from core.places import place_of

    place, root = place_of(to)
    place.makedirs(root, exist_ok=True)
    count = 0
    with tarfile.open(fileobj=source, mode="r|") as files:
        for about in files:
            data = files.extractfile(about)
            name = about.name.rpartition("/")[2]
            if data is None or not name:
                continue
            with place.open(f"{root.rstrip('/')}/{name}", "wb") as sink:
                shutil.copyfileobj(data, sink)
            count += name.endswith(".png")
    return count
