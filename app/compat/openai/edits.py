"""`POST /v1/images/edits`, `/variations`: refused in words that a client shows. There are no models for them here."""

from __future__ import annotations

from typing import NoReturn

from app.access import needs
from app.compat.conventions import error_responses
from app.compat.openai.blueprint import forms
from app.compat.openai.schemas import ERROR_BODY
from core.errors import TextToImageOnly
from core.keys import Scope

REFUSED = error_responses(ERROR_BODY, {400: "Always: text to image only"})


@forms.post("/images/edits")
@needs(Scope.SUBMIT)
@forms.doc(responses=REFUSED)
def edit() -> NoReturn:
    """Not there: edit an image

    Argus makes images from text. Whatever the form holds, the answer is 400 `text_to_image_only`.
    """
    raise _refusal()


@forms.post("/images/variations")
@needs(Scope.SUBMIT)
@forms.doc(responses=REFUSED)
def vary() -> NoReturn:
    """Not there: vary an image

    Argus makes images from text. Whatever the form holds, the answer is 400 `text_to_image_only`.
    """
    raise _refusal()


def _refusal() -> TextToImageOnly:
    return TextToImageOnly(
        "Text-to-image only: this Argus makes images from words, not from other images. Send the prompt to "
        "`POST /v1/images/generations`.",
        field="image",
    )
