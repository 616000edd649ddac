"""`argus results` and `argus wait`: a job's images into a folder or a bucket, and when they are there; over REST."""

from __future__ import annotations

import shutil
import tarfile
import uuid
from pathlib import Path
from typing import IO, Any

import click

from cli.job_view import until_done
from cli.moves import FILTERS, written
from cli.terminal import ADDRESS, JSON_OUT, make_console, shows_table, write_json
from core.errors import EngineError


def _filtered(function: Any) -> Any:
    for option in reversed(FILTERS):
        function = option(function)
    return function


@click.command()
@click.argument("job", type=click.UUID)
@click.option("--to", required=True, metavar="PLACE", help="A folder, or any fsspec URL: s3://bucket/prefix.")
@_filtered
@click.option("--json", "out", type=JSON_OUT, help="Write how many there are, and where, as JSON (- is stdout).")
@click.option("--url", type=ADDRESS, help="Address of Argus; default: the one that runs here.")
def results(job: uuid.UUID, to: str, out: Path | None, url: str | None, **asked: Any) -> None:
    """Write the images of JOB and their manifest into a folder or a bucket.

    What is there under the same name is replaced, so it may be run again while the job goes on.
    """
    from cli.stack import base_url
    from core.client import ArgusClient

    client = ArgusClient(url or base_url())
    with client.stream(f"/v1/jobs/{job}/results.tar", written(asked)) as source:
        count = unpack(source, to)
    write_json(out, {"images": count, "place": to})
    if shows_table(out):
        click.echo(f"{count:,} images and their manifest are in {to}.")


@click.command()
@click.argument("job", type=click.UUID)
@click.option("--json", "out", type=JSON_OUT, help="Write the job as it ended as JSON (- is stdout).")
@click.option("--url", type=ADDRESS, help="Address of Argus; default: the one that runs here.")
def wait(job: uuid.UUID, out: Path | None, url: str | None) -> None:
    """Wait until nothing of JOB is open, and say how far it is meanwhile.

    Exit status 1 when an image was not made. What is paused is waited for.
    """
    from cli.stack import base_url
    from core.client import ArgusClient

    client = ArgusClient(url or base_url())
    ended = until_done(make_console(stderr=True), client, client.job(str(job)))
    write_json(out, ended)
    counts = ended["counts"]
    if shows_table(out):
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        click.echo(f"Job {job} is {ended['state']}: {told}.")
    if counts["failed"] + counts["cancelled"]:
        raise EngineError(f"{counts['failed']:,} images failed and {counts['cancelled']:,} were cancelled.")


def unpack(source: IO[bytes], to: str) -> int:
    """Write each file of a tar, as it comes, below a folder or URL; returns how many images there were."""
    import fsspec

    place, root = fsspec.core.url_to_fs(to)
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
