"""What a picture went through before it was measured, described as data: blurred, made smaller, or partly unknown.

    blur = operator_of({"operator": "blur", "sigma": 1.5, "size": 9, "noise": 0.01})
    measured = blur.measure(pictures, generator)

All are linear, y = A·x + noise·ε, over pictures (B, C, H, W) in −1…1, float32 or float64. Blur and averaging are
separable, a matrix over the columns and one over the rows, so that adjoint, pseudo-inverse and the nearest picture have
closed forms. torch is not imported here: who only checks a description needs none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from core.errors import BadInput, BadPicture, OutOfRange
from core.numbers import number, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_NOISE = 1.0  # half the range of a pixel
SIGMAS = (0.1, 32.0)  # of a blur, in pixels
SIZES = (3, 129)  # of its kernel
FACTORS = (2, 16)
KEPT = 8  # matrices, of 8 MB each for a side of 1024 pixels
CUTOFF = 1e-10  # singular values below this share of the largest are zero to a pseudo-inverse


@dataclass(frozen=True, kw_only=True)
class Operator(ABC):
    """A linear measurement A, and the deviation of the noise that is added to what it answers."""

    noise: float = 0.0

    def __post_init__(self) -> None:
        _within("noise", self.noise, (0.0, MOST_NOISE))

    @abstractmethod
    def check(self, height: int, width: int) -> None:
        """Raise `OutOfRange`, naming the field, where A does not fit pictures of this size."""

    @abstractmethod
    def apply(self, pictures: Tensor) -> Tensor:
        """A·x, without noise."""

    @abstractmethod
    def adjoint(self, measured: Tensor) -> Tensor:
        """Aᵀ·y: ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩."""

    @abstractmethod
    def pseudo_inverse(self, measured: Tensor) -> Tensor:
        """A⁺·y (Moore-Penrose). That of a blur makes the noise very large: `nearest` does not."""

    @abstractmethod
    def nearest(self, measured: Tensor, pictures: Tensor, weight: float) -> Tensor:
        """The minimum over x of ‖A·x − y‖² + weight·‖x − pictures‖², weight > 0."""

    def known_of(self, measured: Tensor) -> Tensor:
        """What it measured, of a picture as it was sent: a mask's has something at what is not known, too."""
        return measured

    def measure(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A·x with noise."""
        clean = self.apply(pictures)
        return clean + self.noise * clean.new_empty(clean.shape).normal_(generator=generator)

    def misfit(self, pictures: Tensor, measured: Tensor) -> Tensor:
        """‖A·x − y‖ over the root of the number of measurements (B,): of a perfect picture, `noise`."""
        return (self.apply(pictures) - measured).square().mean((1, 2, 3)).sqrt()


class Separable(Operator):
    """One matrix over each column and one over each row."""

    @abstractmethod
    def check_line(self, length: int) -> None:
        """Raise `OutOfRange`, naming the field, where it does not fit lines of so many pixels. Nothing is computed."""

    @abstractmethod
    def line(self, length: int) -> np.ndarray:
        """What it makes (m, length) of a line of so many pixels. Raises `OutOfRange`."""

    @abstractmethod
    def length_of(self, measured: int) -> int:
        """Pixels of the line of which it made so many."""

    def check(self, height: int, width: int) -> None:
        self.check_line(height)
        self.check_line(width)

    def apply(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        return _both(self.line(height), pictures, self.line(width))

    def adjoint(self, measured: Tensor) -> Tensor:
        columns, rows = self._lines(measured)
        return _both(columns.T, measured, rows.T)

    def pseudo_inverse(self, measured: Tensor) -> Tensor:
        columns, rows = (np.linalg.pinv(line, rcond=CUTOFF) for line in self._lines(measured))
        return _both(columns, measured, rows)

    def nearest(self, measured: Tensor, pictures: Tensor, weight: float) -> Tensor:
        (u, s), (v, t) = (_directions(self, line.shape[1]) for line in self._lines(measured))
        along = _both(u.T, measured - self.apply(pictures), v.T)  # the residual, in A's singular directions
        along = along / (along.new_tensor(np.outer(s, t) ** 2) + weight)
        return pictures + self.adjoint(_both(u, along, v))

    def _lines(self, measured: Tensor) -> tuple[np.ndarray, np.ndarray]:
        height, width = measured.shape[-2:]
        return self.line(self.length_of(height)), self.line(self.length_of(width))


@dataclass(frozen=True, kw_only=True)
class Blur(Separable):
    """A Gaussian kernel of size×size pixels, deviation `sigma` in pixels; beyond its edge the picture is mirrored."""

    sigma: float
    size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _within("sigma", self.sigma, SIGMAS)
        _within("size", self.size, SIZES)
        if self.size % 2 == 0:
            raise OutOfRange(f"`size` is {self.size}: a kernel has an odd size.", field="operator.size")

    def check_line(self, length: int) -> None:
        if self.size // 2 >= length:
            raise OutOfRange(
                f"`size` is {self.size}: for a side of {length} pixels it is at most {2 * length - 1}.",
                field="operator.size",
            )

    @lru_cache(maxsize=KEPT)  # noqa: B019  (frozen, and few)
    def line(self, length: int) -> np.ndarray:
        self.check_line(length)
        reach = self.size // 2
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.sigma) ** 2)
        mirrored = np.pad(np.eye(length), ((reach, reach), (0, 0)), mode="reflect")
        shifted = (weight * mirrored[start : start + length] for start, weight in enumerate(kernel / kernel.sum()))
        return np.asarray(sum(shifted))

    def length_of(self, measured: int) -> int:
        return measured


@dataclass(frozen=True, kw_only=True)
class Down(Separable):
    """A picture `factor` times smaller on each side: every pixel is the mean of factor×factor."""

    factor: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _within("factor", self.factor, FACTORS)

    def check_line(self, length: int) -> None:
        if length % self.factor:
            able = [str(f) for f in range(FACTORS[0], FACTORS[1] + 1) if length % f == 0]
            raise OutOfRange(
                f"`factor` is {self.factor}, which does not divide a side of {length} pixels; allowed: "
                f"{', '.join(able) or 'none'}.",
                field="operator.factor",
            )

    @lru_cache(maxsize=KEPT)  # noqa: B019  (frozen, and few)
    def line(self, length: int) -> np.ndarray:
        self.check_line(length)
        return np.kron(np.eye(length // self.factor), np.full((1, self.factor), 1 / self.factor))

    def length_of(self, measured: int) -> int:
        return measured * self.factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask(Operator):
    """Pixels are known or not; those that are not measure 0. `known` (H, W) is boolean."""

    known: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.known.all() or not self.known.any():
            what = "All" if self.known.all() else "None"
            raise BadPicture(f"{what} of the pixels are known: a mask leaves some of them to be drawn.", field="mask")

    @classmethod
    def of(cls, mask: Image.Image, noise: float = 0.0) -> Mask:
        """Of a mask as requests have it (L): white is to be drawn, so not known."""
        return cls(known=np.asarray(mask) < 128, noise=noise)

    def check(self, height: int, width: int) -> None:
        if self.known.shape != (height, width):
            of_mask, of_picture = f"{self.known.shape[1]}×{self.known.shape[0]}", f"{width}×{height}"
            raise OutOfRange(f"The mask has {of_mask} pixels, the picture {of_picture}: send both alike.", field="mask")

    def apply(self, pictures: Tensor) -> Tensor:
        self.check(pictures.shape[-2], pictures.shape[-1])
        return pictures * pictures.new_tensor(self.known)

    def known_of(self, measured: Tensor) -> Tensor:
        return self.apply(measured)

    def adjoint(self, measured: Tensor) -> Tensor:
        return self.apply(measured)

    def pseudo_inverse(self, measured: Tensor) -> Tensor:
        return self.apply(measured)

    def nearest(self, measured: Tensor, pictures: Tensor, weight: float) -> Tensor:
        return pictures + self.apply(measured - pictures) / (1 + weight)


MASK = "mask"
DESCRIBED: dict[str, type[Blur | Down]] = {"blur": Blur, "down": Down}


def operator_of(described: Mapping[str, Any], mask: Image.Image | None = None) -> Operator:
    """An operator from its description, as JSON has it; the pixels of `mask` are a picture that comes beside it.

    Raises:
        BadInput: another operator than blur, down or mask, a field that it does not have or lacks, or no number.
        OutOfRange: a value outside its range.
        BadPicture: a mask that knows all or nothing.
    """
    given = dict(described)
    name = given.pop("operator", None)
    if name == MASK:
        if mask is None:
            raise BadInput("The operator `mask` needs a mask: send one as a picture.", field="mask")
        return Mask.of(mask, noise_of_mask(described))
    if name not in DESCRIBED:
        raise BadInput(f"`operator` is {name!r}; allowed: {', '.join([*DESCRIBED, MASK])}.", field="operator")
    kind = DESCRIBED[name]
    known = {one.name: int if one.type == "int" else float for one in fields(kind)}
    if missing := sorted(known.keys() - given.keys() - {"noise"}):
        raise BadInput(f"The operator `{name}` also needs `{'`, `'.join(missing)}`.", field=f"operator.{missing[0]}")
    return kind(**_numbers(given, known))


def noise_of_mask(described: Mapping[str, Any]) -> float:
    """All that the description of a mask says beside its name; raises as `operator_of`, which reads the pixels too."""
    given = {name: value for name, value in described.items() if name != "operator"}
    noise: float = _numbers(given, {"noise": float}).get("noise", 0.0)
    _within("noise", noise, (0.0, MOST_NOISE))
    return noise


def _numbers(given: Mapping[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    """The values as numbers, whole ones where the field is; both errors name the field."""
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise BadInput(f"`{name}` is unknown here; allowed: {', '.join(sorted(known))}.", field=f"operator.{name}")
        try:
            read[name] = whole(value) if known[name] is int else number(value)
        except BadInput as error:
            raise type(error)(f"`{name}`: {error.message}", field=f"operator.{name}") from None
    return read


def _within(name: str, value: float, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if not low <= value <= high:
        raise OutOfRange(f"`{name}` is {value:g}, which is outside {low:g} to {high:g}.", field=f"operator.{name}")


def _both(columns: np.ndarray, pictures: Tensor, rows: np.ndarray) -> Tensor:
    """columns · X · rowsᵀ for every channel."""
    return pictures.new_tensor(columns) @ pictures @ pictures.new_tensor(rows).mT


@lru_cache(maxsize=KEPT)
def _directions(operator: Separable, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors and singular values of its matrix over lines of so many pixels."""
    left, values, _ = np.linalg.svd(operator.line(length), full_matrices=False)
    return left, values
