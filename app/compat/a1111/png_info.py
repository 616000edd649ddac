"""`POST /sdapi/v1/png-info`: what an image says about itself."""

from __future__ import annotations

import base64
import io
import warnings

from PIL import Image as Pictures
from PIL.Image import Image

from app.access import needs
from app.compat.a1111.answers import PngInfoOut
from app.compat.a1111.blueprint import REFUSED, blueprint
from app.compat.a1111.schemas import PngInfoIn
from app.rendering import EXIF_FOLDER, USER_COMMENT, UTF_16
from core.errors import BadInput
from core.infotext import NAME, read_infotext
from core.keys import Scope


@blueprint.post("/png-info")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.input(PngInfoIn, arg_name="asked")
@blueprint.output(PngInfoOut)
@blueprint.doc(responses=REFUSED)
def read_png_info(asked: PngInfoIn) -> PngInfoOut:
    """Read what an image says about itself

    The web UI's text from the chunk `parameters` of a PNG, or the user comment of a JPEG or WebP file.
    """
    found = _texts(_file(asked.image))
    info = found.pop(NAME, "")
    return PngInfoOut(info=info, items=found, parameters=read_infotext(info))


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except ValueError:
        raise BadInput("It is no file in base64.", field="image") from None


def _texts(data: bytes) -> dict[str, str]:
    """The texts of an image by name; the picture itself is not decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)
        try:
            with Pictures.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
                written = {str(name): value for name, value in picture.info.items() if isinstance(value, str)}
                return {**written, **_user_comment(picture)}
        except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError):
            raise BadInput("It is no PNG, JPEG or WebP file that can be read.", field="image") from None


def _user_comment(picture: Image) -> dict[str, str]:
    comment = picture.getexif().get_ifd(EXIF_FOLDER).get(USER_COMMENT)
    if not isinstance(comment, bytes) or not comment.startswith(UTF_16):
        return {}
    return {NAME: comment.removeprefix(UTF_16).decode("utf-16-be", errors="replace")}
