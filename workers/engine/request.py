"""What the engine is asked for and what it answers. No torch here: whoever talks to an engine may import it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFilter

from core.emphasis import PLAIN, Emphasis
from core.levels import Level
from core.loras import LoraUse

if TYPE_CHECKING:
    from torch import Tensor

    from workers.kinds.own import OwnKind
    from workers.parallel.way import Way

SEAM = 2  # pixels over which what is drawn goes over into what is kept
MOVABLE = ("exact", "fs")  # strategies whose schedules a running request can continue on


@dataclass(frozen=True)
class Source:
    """The image that a request begins with, and how far it may leave it.

    `image` is RGB and as large as the request. `strength` (0, 1] is the share of the schedule that is run; at 1 nothing
    is left of the image but what a mask keeps. `mask` (L, as large) is white where the image is drawn anew; elsewhere
    it stays as it is.
    """

    image: Image.Image
    strength: float
    mask: Image.Image | None = None

    def over(self, drawn: Image.Image) -> Image.Image:
        """What was drawn, with what the mask keeps: pixel for pixel, but for a seam of SEAM pixels inside the hole."""
        if self.mask is None:
            return drawn
        hole = self.mask.point(lambda value: 255 if value >= 128 else 0)
        inner = hole.filter(ImageFilter.MinFilter(2 * SEAM + 1)).filter(ImageFilter.BoxBlur(SEAM))
        return Image.composite(drawn, self.image, inner)


@dataclass(frozen=True)
class GenerationRequest:
    """One prompt, one seed, one image.

    `steps` and `guidance` are the request's own; the level scales or replaces them. `deadline` is in Unix seconds: a
    request past it is admitted after those that can still meet theirs.
    `allowed_levels` are the ids that the engine may change to by itself: to the best cheaper one of the same model,
    when the request would miss its deadline or when its own level is not among them any more. Empty: it keeps its
    level. `attempt` counts the tries at this request. A preempted request continues where it was only at the very next
    one.

    `way` has it drawn in a parallel mode: a row by itself, of whose clean latents nothing is shown. A `kind` of its own
    brings its own way, its own hook, or what becomes of the picture that was drawn.

    `on_x0` is called in the loop's thread before each whole step, with its number (from 1) and the predicted clean
    latent (no batch axis); it may answer another one to step towards. `previews` are shares of the steps at which that
    latent is decoded, beside the loop, for `on_preview(index of the share, image)`; a preview that fails is left out.
    """

    request_id: str
    prompt: str
    seed: int
    level: Level
    steps: int
    guidance: float
    width: int
    height: int
    negative_prompt: str = ""
    emphasis: Emphasis = PLAIN  # weights of words in both texts
    loras: tuple[LoraUse, ...] = ()  # by name
    source: Source | None = None
    deadline: float | None = None
    allowed_levels: tuple[str, ...] = ()
    attempt: int = 1
    on_x0: Callable[[int, Tensor], Tensor | None] | None = field(default=None, compare=False)
    previews: tuple[float, ...] = field(default=(), compare=False)
    on_preview: Callable[[int, Image.Image], object] | None = field(default=None, compare=False)
    way: Way | None = field(default=None, compare=False)
    kind: OwnKind | None = field(default=None, compare=False)

    def finished(self, drawn: Image.Image) -> Image.Image:
        """The picture, of what was drawn: with what a mask keeps, and by its kind."""
        whole = drawn if self.source is None else self.source.over(drawn)
        return whole if self.kind is None else self.kind.finish(whole)

    @property
    def at_half_size(self) -> GenerationRequest:
        """The same of half the width and height, for those without a source."""
        return replace(self, width=self.width // 2, height=self.height // 2)


@dataclass(frozen=True)
class Times:
    """Unix seconds at which a request was submitted, encoded, first denoised, last denoised and decoded."""

    admitted: float = 0.0
    encoded: float = 0.0
    started: float = 0.0
    denoised: float = 0.0
    decoded: float = 0.0


@dataclass(frozen=True)
class GenerationResult:
    """A finished request: its image, how it was made, and the reasons where that differs from what was asked."""

    request_id: str
    image: Image.Image
    level_id: str
    model_id: str
    steps_run: int
    steps_skipped: int
    cache_similarity: float | None
    batch_mean: float
    batch_max: int
    step_s: float | None  # the mean of its forwards on the device, whatever ran between them; None: not timed
    work_s: float | None  # of that the device's work: on a CPU less, where its core did something else meanwhile
    share_s: float | None  # the work on all its steps, each shared by the rows that took it
    times: Times
    sampler: str  # what people call it
    guidance: float  # that was used
    noise_schedule: str | None = None  # where it is not the usual one
    fetch_s: float | None = None
    reason: str | None = None
    truncated_tokens: tuple[int, int] | None = None  # of prompt and negative prompt: not read; None: not known
    parallel: dict[str, Any] | None = None  # the mode that was asked for, and what came of it
