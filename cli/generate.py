"""`argus generate`: prompts in, images out, over the REST of an Argus that runs. Also the first job of `argus up`."""

from __future__ import annotations

import io
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cli.interrupted import offering_to_cancel
from cli.job_view import follow, show
from cli.numbers import Number, Seed, Whole
from cli.rest import URL, client_at
from cli.terminal import JSON_OUT, PROMPTS_FILE, make_console, shows_table, write_json
from core.errors import EngineError
from core.file_names import image_file_name
from core.kinds import Kind
from core.parallel import Parallel

if TYPE_CHECKING:
    from rich.console import Console

    from app.uploads import Upload
    from core.client import ArgusClient, Line

PICTURE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
PICTURES = ("image", "mask", "second_image")
MANY = 10_000  # prompts, beyond which nobody waits for all and looks at them in a table
FIRST_JOB_S = 120.0  # time enough to draw all of them one after the other at the exact level
TABLES = (".csv", ".tsv", ".xlsx", ".json", ".jsonl", ".ndjson", ".txt")
FIRST_PROMPTS = (
    "a fox in the snow",
    "a rocket in space",
    "three red apples on a green background",
    "a castle at sunset",
    "two penguins on snow",
    "a crown above a frog on a purple background",
)


def first_job(console: Console, url: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Draw a few real prompts with the Argus of this machine and show what came of them."""
    from core.client import ArgusClient

    client = ArgusClient(url)
    begun = time.monotonic()
    prompts = {"prompts": list(FIRST_PROMPTS), "seed": 1, "deadline_s": FIRST_JOB_S}
    job = client.submit({**prompts, "title": "first job of argus up"})
    lines = follow(console, client, job, meanwhile)
    drawn = [line for line in lines if line["image_id"]]
    show(console, lines, _stored_at([line["image_id"] for line in drawn]))
    console.print(f"{len(drawn)} of {len(lines)} images in {time.monotonic() - begun:.1f} s, seen at "
                  f"{url}{job['links']['page']}", highlight=False, soft_wrap=True)  # fmt: skip


def _stored_at(image_ids: Sequence[str]) -> dict[str, str]:
    """Where the image store has these images, by id."""
    from sqlalchemy import select

    from core.database import transaction
    from core.images import ImageStore
    from core.tables import Image

    store = ImageStore()
    wanted = select(Image.id, Image.key).where(Image.id.in_([uuid.UUID(image_id) for image_id in image_ids]))
    with transaction() as session:
        return {str(image_id): _from_here(store.path(key)) for image_id, key in session.execute(wanted)}


def _from_here(place: str) -> str:
    """A path below the current folder without that folder; anything else as it is."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else place


@click.command()
@click.argument("prompts", nargs=-1)
@click.option("--file", type=PROMPTS_FILE, help="Prompts: .csv, .xlsx, .jsonl, .json, else one a line (- is stdin).")
@click.option("--negative-prompt", help="What the images should not show.")
@click.option("--literal", is_flag=True, default=None, help="Take prompts as written, without {a|b} and __wildcards__.")
@click.option("--level", help="`auto` (default) or a level's id, which is then kept.")
@click.option("--steps", type=Whole(), help="Denoising steps of the exact level; default: the family's.")
@click.option("--guidance", type=Number(), help="Classifier-free guidance scale; default: the family's.")
@click.option("--size", help="WIDTHxHEIGHT in pixels; default: the family's.")
@click.option("--seed", type=Seed(), help="Seed of each prompt's first image; default, and -1: random.")
@click.option("--n", type=Whole(1), default=1, show_default=True, help="Images per prompt, seeds counting up.")
@click.option("--lora", "loras", multiple=True, metavar="NAME[:WEIGHT]", help="A LoRA of the family; several times.")
@click.option("--image", "image", type=PICTURE, help="A picture to begin with, in place of noise.")
@click.option("--mask", "mask", type=PICTURE, help="What of it is drawn anew: what is transparent in it, else white.")
@click.option("--second-image", type=PICTURE, help="What the picture is fused with: infrared, of the same scene.")
@click.option("--operator", help='What the picture went through, to be undone: \'{"operator": "down", "factor": 4}\'.')
@click.option("--kind", type=click.Choice(get_args(Kind)), help="What is made; default: what the pictures say.")
@click.option("--strength", type=Number(), help="How far it may be left, 0.01 to 1; default: 0.75, with --mask 1.")
@click.option("--upscale", type=Number(), help="Draw it so many times as large, at the family's nearest size.")
@click.option(
    "--parallel", type=click.Choice(get_args(Parallel)), help="Several devices, or steps at once; default: auto."
)
@click.option("--min-quality", type=Number(), help="Lowest relative quality wanted (1 is as good as exact).")
@click.option("--deadline", "deadline_s", type=Number(), help="Seconds in which the images are wanted.")
@click.option(
    "--start-within", "start_within_s", type=Number(), help="Seconds in which each has to begin; else it fails."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to save the images in.")
@click.option("--json", "json_out", type=JSON_OUT, help="Also write the results as JSON (- is stdout).")
@URL
def generate(
    prompts: tuple[str, ...],
    file: Path | None,
    out: Path | None,
    json_out: Path | None,
    url: str | None,
    size: str | None,
    **options: Any,
) -> None:
    """Draw images of prompts with the Argus that runs.

    Every prompt is one argument. Exit status 1 when an image failed. Ctrl-C names the job and offers to cancel it.
    More than 10,000 prompts are batch work that is handed in and not waited for: `argus wait`, `argus results`.
    """
    listed = _listed(file)
    if not (prompts or listed.prompts):
        raise click.UsageError("Give at least one prompt, or --file.")
    options["loras"] = ", ".join(options["loras"]) or None
    body = {name: value for name, value in options.items() if value is not None} | _pixels(size)
    console = make_console(stderr=not shows_table(json_out))
    client = client_at(url)
    body |= {name: client.send_input(body[name].read_bytes()) for name in PICTURES if name in body}
    with listed.naming_lines(len(prompts)):
        if len(prompts) + len(listed.prompts) > MANY:
            return _hand_in(
                client, [*(json.dumps({"prompt": text}) for text in prompts), *listed.prompts.written], body
            )
        job = client.submit({"prompts": [*prompts, *listed.as_json()], **body})
    with offering_to_cancel(client, job["id"]):
        lines = follow(console, client, job)
        places = _places(client, lines, out)
    show(console, lines, places)
    results = [{**line, "image": places.get(line["image_id"] or "")} for line in lines]
    write_json(json_out, {"job": job["id"], "requests": results})
    if failed := [line for line in lines if not line["image_id"]]:
        raise EngineError(f"{len(failed)} of {len(lines)} images were not made: {failed[0]['error_code']}.")


def _hand_in(client: ArgusClient, lines: Sequence[str], options: dict[str, Any]) -> None:
    """Send very many prompts, and say how to go on."""
    job = client.upload(lines, options)
    click.echo(f"Job {job['id']}: {job['size']:,} images are accepted as batch work. Go on with:")
    for command in ("wait", "results"):
        more = " --to FOLDER" if command == "results" else ""
        click.echo(f"  argus {command} {job['id']}{more} --url {client.url}")


def _listed(file: Path | None) -> Upload:
    """The prompts of a file; of standard input, and of a file whose ending says nothing, one a line."""
    from app.uploads import Upload, read_upload

    if file is None:
        return Upload()
    known = file.suffix.lower() in TABLES
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    found = read_upload(io.BytesIO(data), file.name if known else "prompts.txt")
    for note in found.notes:
        click.echo(note, err=True)
    if found.ignored:
        click.echo(f"Columns that are no options: {', '.join(found.ignored)}.", err=True)
    return found


def _places(client: ArgusClient, lines: Sequence[Line], out: Path | None) -> dict[str, str]:
    """Where each image is, by its id: in the folder, or at Argus."""
    if out:
        return _save(client, lines, out)
    return {line["image_id"]: f"{client.url}/v1/images/{line['image_id']}" for line in lines if line["image_id"]}


def _pixels(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    if not (match := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)):
        raise click.BadParameter(f"{size!r} is not WIDTHxHEIGHT, e.g. 256x256.", param_hint="--size")
    return {"width": int(match[1]), "height": int(match[2])}


def _save(client: ArgusClient, lines: Sequence[Line], folder: Path) -> dict[str, str]:
    """Write the images under their names (`core.file_names`); returns the paths by image id."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {}
    for line in lines:
        if line["image_id"]:
            path = folder / image_file_name(line["position"], line["custom_id"], line["prompt"], line["seed"])
            path.write_bytes(client.image(line["image_id"]))
            places[line["image_id"]] = str(path)
    return places
