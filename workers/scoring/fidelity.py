"""What is measured of an image that began with others, beside its CLIPScore: how it keeps to them.

- a restoration: `misfit`, ‖A·x − y‖ over the root of the number of measurements, pixels being −1 to 1: of a perfect
  picture, the noise;
- a fusion: `entropy` in bits, and `ssim`, `vif`, `scd` as sums over both sources;
- image-to-image and inpainting: `psnr` in dB, `ssim` and `distance` from the image they began with. The last is
  1 − cosine of what the family's scorer sees: it stands for LPIPS, whose weights do not come with Argus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.fidelity import entropy, psnr, scd, ssim, vif
from core.images import ImageStore
from core.kinds import FUSION, RESTORATION, TRANSLATION
from core.pictures import fitted, on_white
from core.tables import Request
from workers.pipelines.source import pixels_of
from workers.scoring.base import Scorer
from workers.sources import measurement_of, pictures_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

LEAST_OF_VIF = 41  # pixels of a side
MOST_DB = 100.0  # of two pictures that are the same, which have no end of it


def fidelity_of(request: Request, image: Image, store: ImageStore, scorer: Scorer) -> dict[str, float]:
    """Each measure of an image (RGB) by its name; none of one that began with noise alone.

    Raises:
        NotFound, StoreDown: a picture that it began with.
    """
    pictures = pictures_of(request, store)
    if not pictures:
        return {}
    drawn, began = pixels_of(image, image.size), on_white(pictures["source_id"])
    if request.own_kind == RESTORATION:
        operator = measurement_of(request, pictures.get("mask_id"))
        measured = operator.known_of(pixels_of(began, began.size))
        return {"misfit": float(operator.misfit(drawn, measured))}
    source = pixels_of(fitted(began, image.size), image.size)
    if request.own_kind == TRANSLATION:  # is to look otherwise
        return {}
    if request.own_kind == FUSION:
        second = pixels_of(fitted(on_white(pictures["second_id"]), image.size), image.size)
        return _of_fusion(drawn, source, second)
    (likeness,) = scorer.likeness([image], [fitted(began, image.size)])
    near = min(float(psnr(drawn, source)), MOST_DB)
    return {"psnr": near, "ssim": float(ssim(drawn, source)), "distance": 1 - likeness}


def _of_fusion(fused: Tensor, first: Tensor, second: Tensor) -> dict[str, float]:
    both = {"ssim": ssim, "vif": vif} if min(fused.shape[-2:]) >= LEAST_OF_VIF else {"ssim": ssim}
    sums = {name: float(of(fused, first) + of(fused, second)) for name, of in both.items()}
    return {"entropy": float(entropy(fused)), "scd": float(scd(fused, first, second)), **sums}
