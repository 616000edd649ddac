"""What the web UI does with images and Argus does not: refused in words that its clients show."""

from __future__ import annotations

from typing import NoReturn

from app.access import needs
from app.compat.a1111.blueprint import REFUSED, blueprint
from core.errors import TextToImageOnly
from core.keys import Scope

ADDRESSES = {  # and what they would do
    "extra-single-image": "enlarge or mend an image",
    "extra-batch-images": "enlarge or mend images",
    "interrogate": "describe an image",
    "create/embedding": "create a textual inversion",
    "create/hypernetwork": "create a hypernetwork",
    "train/embedding": "train a textual inversion",
    "train/hypernetwork": "train a hypernetwork",
}


def _add(address: str, deed: str) -> None:
    @blueprint.post(f"/{address}", endpoint=address.replace("-", "_").replace("/", "_"))
    @needs(Scope.SUBMIT)
    @blueprint.doc(
        summary=f"Not there: {deed}",
        description="Whatever the body holds, the answer is 400 `text_to_image_only`.",
        responses=REFUSED,
    )
    def refuse() -> NoReturn:
        raise TextToImageOnly(f"This Argus does not {deed}: it draws, by `txt2img` and `img2img`.")


for _address, _deed in ADDRESSES.items():
    _add(_address, _deed)
