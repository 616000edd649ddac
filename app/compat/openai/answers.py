"""Answers to `POST /v1/images/generations`: images, what they got, and what that was in tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from flask import url_for

from app.compat.drawing import Drawing
from app.compat.openai.asked import ImagesIn
from app.compat.openai.names import is_gpt_image
from app.compat.openai.quality import wish, word_for
from app.compat.openai.schemas import Heard, ImagesOut, Item, Summary, TokenDetails, Told, Usage
from app.links import external
from app.rendering import Rendering
from app.schemas.submission import JobIn
from app.sizes import Sizes
from core.database import transaction
from core.families import Family, Size
from core.prompt_window import window_of

PATCH = 16  # pixels a side of what counts as one token
WORST_FIRST: tuple[Heard, ...] = ("low", "medium", "high")


@dataclass(frozen=True)
class Call:
    """One call: what was asked, the job it becomes, and how its images are answered."""

    wanted: ImagesIn
    family: Family
    sizes: Sizes
    rendering: Rendering
    job: JobIn
    ignored: list[str]

    @property
    def size(self) -> str:
        return _written(self.sizes.asked)

    def images(self, drawings: Sequence[Drawing]) -> ImagesOut:
        """The answer with all images."""
        native = _written(self.sizes.native)
        return ImagesOut(
            created=int(time.time()),
            data=[self._item(drawing) for drawing in drawings],
            output_format=self.rendering.format,
            quality=min((self.quality(drawing) for drawing in drawings), key=WORST_FIRST.index),
            size=self.size,
            usage=self.usage(drawings),
            argus=Summary(job_id=drawings[0].request.job_id, native_size=native, ignored=self.ignored),
        )

    def quality(self, drawing: Drawing) -> Heard:
        """The word for what an image got."""
        return word_for(drawing.origin.level, drawing.origin.predicted_quality, self.family)

    def told(self, drawing: Drawing) -> Told:
        """What Argus adds to an image."""
        native = _written(self.sizes.native)
        fields = drawing.origin.model_dump()
        return Told(**fields, url=self._link(drawing), native_size=native, ignored=self.ignored)

    def usage(self, drawings: Sequence[Drawing]) -> Usage:
        """Tokens of the prompt, once, and of each image that was drawn."""
        request = drawings[0].request
        text = tokens_of([request.prompt, *filter(None, [request.negative_prompt])], self.family)
        width, height = self.sizes.native
        image = len(drawings) * math.ceil(width / PATCH) * math.ceil(height / PATCH)
        return Usage(
            input_tokens=text,
            output_tokens=image,
            total_tokens=text + image,
            input_tokens_details=TokenDetails(text_tokens=text, image_tokens=0),
            output_tokens_details=TokenDetails(text_tokens=0, image_tokens=image),
        )

    def _item(self, drawing: Drawing) -> Item:
        """An image as it was asked for: as base64, by a link, or both (`names.is_gpt_image`)."""
        prompt, form, gpt_image = drawing.request.prompt, self.wanted.response_format, is_gpt_image(self.wanted.model)
        item = Item(argus=self.told(drawing), revised_prompt=prompt if prompt != self.wanted.prompt else None)
        if form != "url" or gpt_image:
            item.b64_json = drawing.base64(self.rendering)
        if form == "url" or (form is None and not gpt_image):
            item.url = self._link(drawing)
        return item

    def _link(self, drawing: Drawing) -> str:
        """Where the file is; its ending says the format, which clients name files by."""
        more = {name: value for name, value in self.rendering.query().items() if name != "format"}
        id, format = drawing.origin.image_id, self.rendering.format
        return external(url_for("images.read_image_file", image_id=id, format=format, **more))


def call_of(wanted: ImagesIn, family: Family, level: str) -> Call:
    """The call of a body; `level` is what its model means. Raises `BadInput` and its kinds."""
    sizes = wanted.sizes(family)
    with transaction() as session:
        found = wish(session, family, wanted.quality, level, wanted.min_quality)
    return Call(wanted, family, sizes, wanted.rendering(sizes), wanted.job(sizes, found), wanted.ignored(found))


def tokens_of(texts: Sequence[str], family: Family) -> int:
    """Tokens of texts by the family's tokenizer; words, where that is not on this machine."""
    window = window_of(family)
    return window.counted(texts) if window else sum(len(text.split()) for text in texts)


def _written(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
