"""What clients send to `img2img`: what `txt2img` takes, and an image to begin with."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from app.compat.a1111.schemas import READ, Txt2ImgIn
from app.inputs import Inputs, inverted
from app.schemas.base import Number, Whole
from app.schemas.submission import LEAST_STRENGTH, JobIn
from app.sizes import Sizes, nearest
from core.errors import BadInput
from core.families import Family
from core.tables import InputImage

STRENGTH = 0.75  # the web UI's
OWN = {"init_images", "mask", "denoising_strength", "inpainting_mask_invert", "resize_mode"}


class Img2ImgIn(Txt2ImgIn):
    """What to draw from which image; what is left out is as the web UI has it."""

    READ: ClassVar[frozenset[str]] = frozenset(READ | OWN)

    init_images: list[Any] = Field(default=[], description="One file, base64, with `data:…;base64,` before it or not.")
    mask: str | None = Field(default=None, description="A file as large, base64: what is white in it is drawn anew.")
    denoising_strength: Number | None = Field(
        default=STRENGTH, ge=0, le=1, description="How far the image may be left; 0 is as little as can be."
    )
    inpainting_mask_invert: Whole | None = Field(default=0, description="1: what is black in the mask is drawn anew.")
    resize_mode: Whole | None = Field(
        default=0, description="Whatever it says, the image is made to cover the size, and cut around its centre."
    )
    mask_blur: Whole | None = Field(default=None, description="Ignored: the seam lies inside of what is drawn.")
    inpainting_fill: Whole | None = Field(default=None, description="Ignored: what is drawn begins with the image.")
    inpaint_full_res: Any = Field(default=None, description="Ignored: the whole image is drawn.")
    image_cfg_scale: Any = Field(default=None, description="Ignored: it is of models that are told the image.")
    _image: InputImage = PrivateAttr()
    _mask: InputImage | None = PrivateAttr(default=None)

    def keep(self) -> None:
        """Keep the image and its mask.

        Raises:
            BadInput: no image, or several.
            BadPicture: one that cannot be begun with.
            OutOfRange: `denoising_strength`.
        """
        if len(self.init_images) != 1 or not isinstance(self.init_images[0], str):
            raise BadInput("One image is begun with: send one file, base64.", field="init_images")
        inputs = Inputs()
        self._image = inputs.image(self.init_images[0], "init_images")
        if self.mask:
            mask = inverted(self.mask, "mask") if self.inpainting_mask_invert else self.mask
            self._mask = inputs.mask(mask, "mask", self._image)

    def sizes(self, family: Family) -> Sizes:
        """Without width and height the family's size that is nearest to the image's."""
        if self.width is not None or self.height is not None:
            return super().sizes(family)
        native = nearest((self._image.width, self._image.height), family.limits.sizes)
        return Sizes(native, native)

    def job(self, level: str, sizes: Sizes) -> JobIn:
        """The job that this asks for; raises as that of `txt2img`."""
        mask = None if self._mask is None else str(self._mask.id)
        strength = STRENGTH if self.denoising_strength is None else max(LEAST_STRENGTH, self.denoising_strength)
        more = {"image": str(self._image.id), "mask": mask, "strength": strength}
        return JobIn.model_validate({**super().job(level, sizes).model_dump(exclude_unset=True), **more})
