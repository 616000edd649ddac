"""The README's pictures of pages, taken in headless Chromium of an Argus of its own that has drawn real prompts.

`python -m bench.screenshots` starts one with the embedded family, sends it a burst and a comparison, asks what would
have been with another policy, and writes `docs/img/page-*.webp`: some minutes on a CPU. `--address` takes them of an
Argus that runs; it is sent the same work.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import Browser, Page

from bench.chromium import chromium
from bench.own import own_argus, own_home
from core.client import ArgusClient, Line
from core.errors import ServiceDown
from core.settings import ROOT

FOLDER = ROOT / "docs" / "img"
WIDTH, HEIGHT = 1280, 900  # pixels
QUALITY = 80  # of WebP
PATIENCE_S, LOOK_S = 1800.0, 2.0
THINGS = ("a fox in the snow", "a red apple", "a lighthouse at night", "a blue teapot", "an owl", "a cactus")
BURST = [f"{thing}, {style}" for thing in THINGS for style in ("watercolor", "photograph", "flat design")]
OTHER_POLICY = "pac"


@dataclass(frozen=True)
class Scene:
    """What was sent, for pages to show: two jobs and an image."""

    job: str
    comparison: str
    image: str

    @property
    def addresses(self) -> dict[str, str]:
        """The pages by the names of their pictures, but what-if, which is asked first."""
        begun = f"/?image={self.image}&prompts=a+fox+in+the+snow%0Athree+%7Bred%7Cgreen%7D+apples"
        return {
            **{"form": begun, "job": f"/jobs/{self.job}", "compare": f"/compare/{self.comparison}"},
            **{"dashboard": "/dashboard?minutes=15", "models": "/models"},
            **{"reports": "/reports?by=level", "gallery": "/gallery"},
        }


def drawn(argus: ArgusClient) -> Scene:
    """Send a burst and a comparison, and wait until both are drawn and scored."""
    job = argus.submit({"prompts": BURST, "n": 4, "title": "A burst"})["id"]
    asked = {"prompt": "a red apple on a table", "seeds": [1, 2, 3]}
    compared = str(argus.send("POST", "/v1/compare", asked)["id"])
    lines = [line for each in (job, compared) for line in scored(argus, each)]
    image = next(str(line["image_id"]) for line in lines if line["image_id"])
    return Scene(job, compared, image)


def scored(argus: ArgusClient, job: str) -> list[Line]:
    """The requests of a job, all with a score; raises `ServiceDown` where that takes too long."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        lines = argus.lines(job)
        if all(line["score"] is not None or line["state"] in ("failed", "cancelled") for line in lines):
            return lines
        time.sleep(LOOK_S)
    raise ServiceDown(f"Job {job} was not drawn and scored in {PATIENCE_S:g} s.")


@contextmanager
def window(browser: Browser, url: str) -> Iterator[Page]:
    """A page in a light window."""
    context = browser.new_context(
        base_url=url, viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", reduced_motion="reduce"
    )
    try:
        yield context.new_page()
    finally:
        context.close()


def take(page: Page, path: str, whole: bool = False) -> bytes:
    """A picture of a page as PNG, of what fits its window or of the whole."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    return page.screenshot(full_page=whole)


def ask_what_if(page: Page) -> bytes:
    """Ask for another policy on the dashboard, and take what is found."""
    page.goto("/dashboard")
    page.locator("#policy").select_option(OTHER_POLICY)
    page.locator("#what-if button").click()
    page.locator("#what-if-found table").wait_for(timeout=1000 * PATIENCE_S)
    return page.locator("#what-if").screenshot()


def write(name: str, picture: bytes, folder: Path) -> None:
    """Keep a picture as WebP."""
    path = folder / f"page-{name}.webp"
    Image.open(io.BytesIO(picture)).convert("RGB").save(path, "WEBP", quality=QUALITY, method=6)
    click.echo(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")


def pictures(argus: ArgusClient, folder: Path) -> None:
    """Draw what they show, and write them all."""
    scene = drawn(argus)
    with chromium() as browser, window(browser, argus.url) as page:
        for name, address in scene.addresses.items():
            write(name, take(page, address, whole=name == "form"), folder)
        write("what-if", ask_what_if(page), folder)


@click.command()
@click.option("--address", help="Of an Argus that runs, as http://127.0.0.1:8080. [one of its own]")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=FOLDER)
def main(address: str | None, folder: Path) -> None:
    """Take the README's pictures of pages."""
    if address:
        pictures(ArgusClient(address), folder)
        return
    with own_home("pictures") as home, own_argus(home) as argus:
        pictures(argus, folder)


if __name__ == "__main__":
    main()
