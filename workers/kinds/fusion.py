"""Requests that fuse two pictures: DDFM (`ddfm.py`) on the clean latents of a row that shares forwards with others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from workers.kinds.own import Hook, OwnKind

if TYPE_CHECKING:
    from torch import Tensor

    from workers.kinds.ddfm import Fusing


@dataclass(eq=False)
class Fusion(OwnKind):
    """A visible picture and an infrared one of the same scene (RGB, as large as the request)."""

    visible: Image.Image
    infrared: Image.Image
    _fusing: Fusing | None = field(default=None, init=False)

    def hook(self, adapter: Any, size: tuple[int, int]) -> Hook:
        """DDFM's correction of each clean latent, in pictures."""
        from core.fidelity import luminance
        from workers.kinds.ddfm import Fusing, Pair
        from workers.pipelines.source import pixels_of

        visible, infrared = (
            luminance(pixels_of(picture, size)).to(adapter.device) for picture in (self.visible, self.infrared)
        )
        fusing = self._fusing = Fusing(
            Pair(infrared, visible),
            lambda pictures: adapter.pack(adapter.latent_of(pictures)[None]).to(adapter.state_dtype),
            lambda latents: adapter.image_of(latents, size).float(),
        )

        def corrected(step: int, clean: Tensor) -> Tensor:
            return fusing(step, clean[None])[0]

        return corrected

    def finish(self, drawn: Image.Image) -> Image.Image:
        """The luminance of the last correction, which no autoencoder has blurred, in the colours of the visible."""
        from core.fidelity import luminance
        from workers.pipelines.source import image_from, pixels_of

        assert self._fusing is not None, "no hook was asked for"
        assert self._fusing.picture is not None, "no step was taken"
        visible = pixels_of(self.visible, drawn.size)
        fused = luminance(self._fusing.picture.cpu())
        return image_from(visible + (fused - luminance(visible)))
