"""What the engine is told of a request of a kind of its own: how it draws, what it shows, what becomes of the picture.

A kind is a value, made from the request's row and pictures; what it needs of a model it takes from the adapter that the
engine has leased. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from workers.parallel.way import Way

Hook = Callable[[int, "Tensor"], "Tensor | None"]  # (step from 1, clean latent) → the one to step towards


class OwnKind:
    """A kind that changes nothing: each overrides what it does otherwise."""

    @property
    def way(self) -> Way | None:
        """Its own turns, in place of the engine's forward and step."""
        return None

    def hook(self, adapter: Any, size: tuple[int, int]) -> Hook | None:
        """What sees each clean latent of pictures of this size (width, height); none where nothing is to be seen."""
        return None

    def finish(self, drawn: Image.Image) -> Image.Image:
        """The picture, of what was drawn."""
        return drawn
