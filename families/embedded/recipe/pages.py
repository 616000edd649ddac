"""Pages of pictures, to look at: held-out prompts, one prompt a row and one way a column, everyday prompts."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from families.embedded.recipe.draw import draw
from families.embedded.recipe.evaluate import WAYS
from families.embedded.recipe.run import Run

EVERYDAY = Path(__file__).parent.parent / "everyday.csv"
ROWS = 10  # prompts on the page of ways


def write_pages(run: Run) -> None:
    """`exact.jpg`, `dit.jpg`, `everyday.jpg` and `ways.jpg`, with the prompts of all but the third in `prompts.txt`."""
    prompts = [scene.prompt for scene in run.held_out[: run.plan.sheet]]
    ways = {name: way for name, way in WAYS.items() if way[0] in run.members}
    folder = run.folder / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.txt").write_text("\n".join(prompts) + "\n")
    if "exact" in ways:
        write_page(shown(run, "exact", prompts), folder / "exact.jpg", 10)
        write_page(shown(run, "exact", everyday()), folder / "everyday.jpg", 10)
    if "dit-12" in ways:
        write_page(shown(run, "dit-12", prompts), folder / "dit.jpg", 10)
    columns = [shown(run, name, prompts[:ROWS]) for name in ways]
    write_page(torch.stack(columns, 1).flatten(0, 1), folder / "ways.jpg", len(columns))


def everyday() -> list[str]:
    """The hundred everyday prompts."""
    return [line.split(",")[0] for line in EVERYDAY.read_text().splitlines()[1:]]


def shown(run: Run, name: str, prompts: list[str]) -> Tensor:
    """Pictures (B, 3, h, w) drawn one way, at half their size."""
    drawn = draw(run, WAYS[name], run.encoder.tokens(prompts), 0)
    return F.avg_pool2d(drawn, 2)


def write_page(pictures: Tensor, path: Path, columns: int) -> None:
    """Pictures (B, 3, H, W) in −1…1 as one JPEG; a last row that is not full is left out."""
    columns = min(columns, len(pictures))
    count = len(pictures) // columns * columns
    rows = [torch.cat(list(part), dim=2) for part in pictures[:count].float().cpu().split(columns)]
    pixels = ((torch.cat(rows, 1).clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path, quality=90, subsampling=0)
