"""Calibration of a `sub` level: which subspace of latents the latents of pictures of half the size are.

Some prompts are drawn, and their pictures encoded at both sizes. Of each 2×2 x of a latent and the cell y of the small
one, the orthonormal U that brings Uᵀx nearest to y is the polar factor of their covariance (Schönemann 1966, orthogonal
Procrustes); s makes both vary as much.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from core.errors import OutOfRange
from core.subspaces import FoundFor, SubspaceFile
from workers.engine.loading import configured_dtype
from workers.measure.cachequant import Subject
from workers.measure.whole_runs import final_latents
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter

Progress = Callable[[int, int, str], None]


def calibrate(subject: Subject, progress: Progress) -> SubspaceFile:
    """The subspace of a model's latents, from pictures that it draws of some prompts.

    Raises:
        OutOfRange: too few prompts for the latent's channels.
    """
    family, d, total = subject.family, subject.family.defaults, len(subject.prompts)
    adapter = load_adapter(subject.model, subject.device, configured_dtype(subject.device))
    cells = []
    for number in range(total):
        progress(number, total, "drawing pictures")
        cells.append(pairs(adapter, drawn(subject, adapter, number)))
    progress(total, total, "drawing pictures")
    whole, small = (np.concatenate(some) for some in zip(*cells, strict=True))
    if len(small) < 2 * whole.shape[1]:
        raise OutOfRange(
            f"{total} prompts have {len(small)} cells, too few for {small.shape[1]} channels: give more.", field="count"
        )
    of = FoundFor(
        family=family.id,
        family_version=family.version,
        autoencoder=subject.model.autoencoder_sha256,
        width=d.width,
        height=d.height,
    )
    return found(whole, small, of, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {total} prompts")


def drawn(subject: Subject, adapter: Adapter, number: int) -> Image.Image:
    """The picture of the n-th prompt."""
    row = subject.row(adapter, number)
    return adapter.decode(final_latents(adapter, [row], [])[0], row.size)


@torch.inference_mode()
def pairs(adapter: Adapter, picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Of a picture, each 2×2 of its latent [n, 4C] and the cells [n, C] of the latent at half the size."""
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    whole, small = (adapter.latent_of(_pixels(image)) for image in (picture, half))
    return _numbers(functional.unfold(whole[None], 2, stride=2)[0].T), _numbers(small.flatten(1).T)


def found(whole: np.ndarray, small: np.ndarray, of: FoundFor, made: str) -> SubspaceFile:
    """The subspace from pairs of 2×2 [n, 4C] and cells [n, C]."""
    mean, small_mean = whole.mean(0), small.mean(0)
    left, _, right = np.linalg.svd((whole - mean).T @ (small - small_mean), full_matrices=False)
    basis = left @ right
    scale = float(np.sqrt(small.var(0).mean() / ((whole - mean) @ basis).var(0).mean()))
    return SubspaceFile(
        of=of,
        made=made,
        scale=float(f"{scale:.6g}"),
        basis=tuple(_rounded(row) for row in basis),
        mean=_rounded(mean),
        small_mean=_rounded(small_mean),
    )


def _pixels(image: Image.Image) -> Tensor:
    """[1, 3, height, width] in [-1, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1


def _rounded(numbers: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{number:.6g}") for number in numbers)


def _numbers(tensor: Tensor) -> np.ndarray:
    numbers: np.ndarray = tensor.double().cpu().numpy()
    return numbers
