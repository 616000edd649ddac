"""Kinds of job, by the names in requests: what each needs, and what it cannot take.

What is drawn from a prompt, an image or an image with a hole is stock: rows of the engine, at every level. The others
have samplers of their own (`workers.kinds`, a file each) and are drawn at the reference level. Nothing here imports
torch: who accepts requests says what can be drawn how.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text-to-image", "image-to-image", "inpainting", "restoration", "fusion", "translation"]
RESTORATION, FUSION, TRANSLATION = "restoration", "fusion", "translation"
PICTURES = ("image", "mask", "second_image", "operator")  # fields that say of which kind a request is


@dataclass(frozen=True)
class KindNeeds:
    """What a kind of its own needs.

    Args:
        needs: fields of a submission without which there is nothing to do.
        takes: fields of `PICTURES` that it knows beside these.
        length: what one of its steps takes, in steps of the reference level, where no profile has measured it.
        guided: whether its steps take guidance.
    """

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    length: float
    guided: bool = True


OWN: dict[str, KindNeeds] = {
    RESTORATION: KindNeeds(("image", "operator"), ("mask",), 8.0, guided=False),
    FUSION: KindNeeds(("image", "second_image"), (), 1.5),
    TRANSLATION: KindNeeds(("image",), (), 1.0),
}


def stock_kind(image: bool, mask: bool) -> Kind:
    """What is drawn of these."""
    if not image:
        return "text-to-image"
    return "inpainting" if mask else "image-to-image"


def kind_of(named: str | None, given: Collection[str]) -> str:
    """The kind that was named, else what the fields of `PICTURES` that were given say."""
    if named is not None:
        return named
    if "operator" in given:
        return RESTORATION
    return FUSION if "second_image" in given else stock_kind("image" in given, "mask" in given)


def share_of(strength: float | None, own_kind: str | None) -> float:
    """What a request takes of one drawn from noise: the share of the steps that it runs, or what each of its own is."""
    return (strength or 1.0) * (OWN[own_kind].length if own_kind in OWN else 1.0)
