"""`POST /v1/images/edits`: draw from an image, or the part of it that a mask marks. `/variations` need words here."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from apiflask.fields import UploadFile
from flask import Response, request
from pydantic import Field, PrivateAttr, model_validator

from app import inputs
from app.access import needs, submits
from app.compat.conventions import error_responses
from app.compat.drawing import draw
from app.compat.openai.answers import call_of
from app.compat.openai.asked import IGNORED, ImagesIn
from app.compat.openai.blueprint import forms
from app.compat.openai.images import ERRORS
from app.compat.openai.names import level_named
from app.compat.openai.quality import Wish
from app.compat.openai.schemas import ERROR_BODY, ImagesOut
from app.compat.openai.stream import stream
from app.schemas.base import YES_OR_NO
from app.schemas.submission import JobIn, KeyIn, Strength
from app.sizes import Sizes, nearest
from core.errors import BadInput, TextToImageOnly
from core.families import Family, load_family
from core.keys import Scope
from core.settings import settings
from core.tables import InputImage

FILES = ("image", "mask")  # some clients write `image[]`, as of a list
REFUSED = error_responses(ERROR_BODY, {400: "Always: there are no words to draw"})


class EditIn(ImagesIn):
    """What to draw from an image: a form, with the fields of `/v1/images/generations`."""

    deed: ClassVar[str] = "image_edit"

    image: UploadFile = Field(description="The image to begin with: PNG, JPEG or WebP.")
    mask: UploadFile | None = Field(
        default=None,
        description="What is transparent in it (else white) is drawn anew, the rest stays. Left out: what is "
        "transparent in `image`, if that is; else the whole image is drawn from.",
    )
    strength: Strength | None = Field(default=None, description="How far the image may be left: 0.75, with a mask 1.")
    input_fidelity: Any = IGNORED
    _image: InputImage = PrivateAttr()
    _mask: InputImage | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _named_as_in_json(cls, sent: Any) -> Any:
        """A form has texts only, beside its files."""
        if not isinstance(sent, dict):
            return sent
        said = {name: value for name, value in sent.items() if name is not None}  # a form may hold such fields
        said = {**said, **{name: sent.get(name) or request.files.get(f"{name}[]") for name in FILES}}
        if isinstance(said.get("stream"), str):
            said["stream"] = YES_OR_NO.get(said["stream"].strip().lower(), said["stream"])
        return said

    def keep(self) -> None:
        """Keep the image and its mask; raises `BadPicture`."""
        self._image, clear = inputs.keep_image_and_hole(self.image.stream.read(), "image")
        self._mask = inputs.keep_mask(self.mask.stream.read(), "mask", self._image) if self.mask else clear

    def sizes(self, family: Family) -> Sizes:
        """`auto` and none are the family's size that is nearest to the image's."""
        if self.size not in (None, "auto"):
            return super().sizes(family)
        native = nearest((self._image.width, self._image.height), family.limits.sizes)
        return Sizes(native, native)

    def job(self, sizes: Sizes, wish: Wish) -> JobIn:
        """The job that this asks for."""
        mask = None if self._mask is None else str(self._mask.id)
        more = {"image": str(self._image.id), "mask": mask, "strength": self.strength}
        return super().job(sizes, wish).model_copy(update=more)


@forms.post("/images/edits")
@submits
@forms.input(EditIn, location="form_and_files", arg_name="wanted")
@forms.input(KeyIn, location="headers", arg_name="key")
@forms.output(ImagesOut, description="The images are there")
@forms.doc(responses={**ERRORS, 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}})
def edit(wanted: EditIn, key: KeyIn) -> ImagesOut | Response:
    """Draw from an image and wait

    The image is noised to a part of the way and drawn from there by the prompt; with a mask, only what that marks is
    drawn, and the rest stays pixel for pixel. All else is as at `/v1/images/generations`; events of a `stream` begin
    with `image_edit.`.
    """
    if len(request.files.getlist("image[]")) + len(request.files.getlist("image")) > 1:
        raise BadInput("One image is begun with: send one.", field="image")
    family = load_family(settings().family)
    wanted.keep()
    call = call_of(wanted, family, level_named(wanted.model, family))
    if wanted.stream:
        return stream(call)
    return call.images(draw(call.job, "openai"))


@forms.post("/images/variations")
@needs(Scope.SUBMIT)
@forms.doc(responses=REFUSED)
def vary() -> NoReturn:
    """Not there: vary an image

    Argus draws by words. Whatever the form holds, the answer is 400 `text_to_image_only`.
    """
    raise TextToImageOnly(
        "An image is drawn by words here, from noise or from another image: send the image with a prompt to "
        "`POST /v1/images/edits`.",
        field="image",
    )
