"""What a prompt begins with: an image, a mask, a second image, what the image went through; and the kind that makes it.

Each is checked here, and the size that follows from it. Files that are sent are kept, so this touches database and
store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.inputs import Inputs
from app.sizes import nearest
from core.errors import ArgusError, BadInput, OutOfRange
from core.families import Family, Size
from core.kinds import FUSION, OWN, PICTURES, RESTORATION, TRANSLATION, kind_of, stock_kind
from core.operators import MASK, Down, Operator, noise_of_mask, operator_of
from core.parallel import AUTO
from core.tables import InputImage

Chosen = Callable[..., tuple[Any, str]]  # name, default → the option's value and where it stands
IMAGE_STRENGTH, MASK_STRENGTH, UPSCALE_STRENGTH = 0.75, 1.0, 0.3  # where none is sent
OF_IMAGES = ("strength", "upscale")
WRITTEN_MASK = {"operator": MASK}  # what a mask says where a restoration is sent no operator


@dataclass(frozen=True)
class Beginning:
    """What a prompt begins with. `columns` are of its rows; `usual` is the size that follows where none is asked."""

    kind: str = "text-to-image"
    columns: dict[str, Any] = field(default_factory=dict)
    usual: Size | None = None

    @property
    def is_own(self) -> bool:
        """Whether its kind has a sampler of its own."""
        return self.kind in OWN


COLUMNS = ("source_id", "mask_id", "second_id", "operator", "own_kind", "strength")
NOISE = Beginning(columns=dict.fromkeys(COLUMNS))  # what most prompts begin with


@dataclass(frozen=True)
class _Sent:
    """What was sent with a prompt: options by name, each with where it stands; the rows of the pictures among them, by
    the beginnings of their columns."""

    chosen: Chosen
    family: Family
    given: dict[str, tuple[Any, str]]
    pictures: dict[str, InputImage]

    def as_kind(self, kind: str, usual: Size, **columns: Any) -> Beginning:
        """What is begun of it."""
        ids = {f"{name}_id": picture.id for name, picture in self.pictures.items()}
        return Beginning(kind, {**NOISE.columns, **ids, **columns}, usual)

    def as_own(self, kind: str, usual: Size | None = None, **columns: Any) -> Beginning:
        """The same of a kind of its own, if not told otherwise at the family's size nearest to the image."""
        return self.as_kind(kind, usual or _nearest(self.pictures["source"], self.family), own_kind=kind, **columns)


def beginning_of(chosen: Chosen, inputs: Inputs, family: Family) -> Beginning:
    """Read what a prompt begins with.

    Raises:
        BadInput: fields that exclude each other or lack what they need, an operator that does not exist.
        BadPicture, NotFound: an image, naming its field.
        OutOfRange: a size that the family does not draw.
    """
    given = {name: chosen(name) for name in ("kind", *PICTURES, *OF_IMAGES)}
    there = {name: where for name, (value, where) in given.items() if value is not None}
    if not there:
        return NOISE
    kind = kind_of(given["kind"][0], there)
    _check_fields(kind, there)
    if kind == TRANSLATION and family.bridge is None:
        text = f"Family {family.id} translates no pictures: its file names no `bridge`. Leave `kind` out."
        raise BadInput(text, field=there["kind"])
    sent = _Sent(chosen, family, given, _pictures(given, there, inputs))
    if kind == RESTORATION:
        return _restoration(sent)
    if kind == FUSION:
        _check_alike(sent.pictures["source"], sent.pictures["second"], there["second_image"])
    return sent.as_own(kind) if kind in OWN else _stock(kind, sent)


def _check_fields(kind: str, there: dict[str, str]) -> None:
    """Raise `BadInput` where a kind lacks what it needs, or was sent what it does not know."""
    if kind in OWN:
        needs, takes = OWN[kind].needs, OWN[kind].takes
        lacking = [n for n in needs if n not in there and not (n == "operator" and "mask" in there)]
        unknown = [name for name in (*PICTURES, *OF_IMAGES) if name in there and name not in (*needs, *takes)]
        if lacking:
            place = max((where.removesuffix(name) for name, where in there.items()), key=len)  # a prompt's own, or none
            text = f"A {kind} needs `{'` and `'.join(needs)}`: send `{lacking[0]}`, too."
            raise BadInput(text, field=place + lacking[0])
        if unknown:
            raise BadInput(f"A {kind} knows no `{unknown[0]}`: leave it out.", field=there[unknown[0]])
        return
    if "image" not in there:
        for name in ("mask", *OF_IMAGES):
            if name in there:
                text = f"`{name}` says what becomes of an `image`: send one with it, or leave it out."
                raise BadInput(text, field=there[name])
    for name in ("operator", "second_image"):
        if name in there:
            raise BadInput(f"`{name}` is for another kind than {kind}: leave out one of both.", field=there[name])
    said = stock_kind("image" in there, "mask" in there)
    if kind != said:
        raise BadInput(f"What was sent is {said}, not {kind}: send what that needs, or no `kind`.", field=there["kind"])


def _pictures(given: dict[str, tuple[Any, str]], there: dict[str, str], inputs: Inputs) -> dict[str, InputImage]:
    """The rows of the pictures, by the beginnings of their columns."""
    found: dict[str, InputImage] = {}
    for name, column in (("image", "source"), ("second_image", "second")):
        if name in there:
            found[column] = inputs.image(*given[name])
    if "mask" in there:
        found["mask"] = inputs.mask(*given["mask"], found["source"])
    return found


def _restoration(sent: _Sent) -> Beginning:
    """A measured picture is not resized, which would be another measurement: its size says what is drawn."""
    described, where = sent.given["operator"]
    described = WRITTEN_MASK if described is None else described
    if "mask" in sent.pictures and described.get("operator") != MASK:
        raise BadInput("A mask is the operator `mask`'s: leave one of both out.", field=sent.given["mask"][1])
    try:
        operator = _operator(described, sent.pictures)
        size = _measured_size(sent, operator)
        if operator is not None:
            operator.check(size[1], size[0])
    except ArgusError as error:
        if error.field and error.field.startswith("operator"):
            error.field = where + error.field.removeprefix("operator")
        raise
    for name, value in (("width", size[0]), ("height", size[1])):
        asked, stands = sent.chosen(name, value)
        if asked != value:
            text = f"A restoration is as large as what was measured, here {size[0]}×{size[1]}: leave `{name}` out."
            raise BadInput(text, field=stands)
    return sent.as_own(RESTORATION, size, operator=described)


def _operator(described: dict[str, Any], pictures: dict[str, InputImage]) -> Operator | None:
    """The operator; None of a mask, whose pixels `Inputs` has checked."""
    if described.get("operator") != MASK:
        return operator_of(described)
    if "mask" not in pictures:
        raise BadInput("The operator `mask` needs a mask: send one as a picture.", field="mask")
    noise_of_mask(described)
    return None


def _measured_size(sent: _Sent, operator: Operator | None) -> Size:
    """The size of the picture that was measured so; raises `OutOfRange` where the family does not draw it."""
    measured, sizes = sent.pictures["source"], sent.family.limits.sizes
    times = operator.factor if isinstance(operator, Down) else 1
    size = (measured.width * times, measured.height * times)
    if size not in sizes:
        able = ", ".join(f"{w // times}×{h // times}" for w, h in sizes if not (w % times or h % times))
        raise OutOfRange(
            f"The image has {measured.width}×{measured.height} pixels. What is restored is not resized; family "
            f"{sent.family.id} restores so: {able or 'none'}.",
            field=sent.given["image"][1],
        )
    return size


def _stock(kind: str, sent: _Sent) -> Beginning:
    image, (upscale, where), strength = sent.pictures.get("source"), sent.given["upscale"], sent.given["strength"][0]
    if image is None:
        return NOISE
    usual = MASK_STRENGTH if "mask" in sent.pictures else IMAGE_STRENGTH if upscale is None else UPSCALE_STRENGTH
    strength = usual if strength is None else float(strength)
    if upscale is None:
        return sent.as_kind(kind, _nearest(image, sent.family), strength=strength)
    if any(sent.chosen(name)[0] is not None for name in ("width", "height")):
        raise BadInput("`upscale` says how large the image gets: send it without `width` and `height`.", field=where)
    return sent.as_kind(kind, _enlarged(image, float(upscale), sent.family, where), strength=strength)


def asked_size(chosen: Chosen, family: Family, beginning: Beginning) -> tuple[tuple[int, str], tuple[int, str]]:
    """Width and height, and where they stand: as asked, else as what it begins with makes them, else the default."""
    asked = [chosen(name)[0] for name in ("width", "height")]
    usual = (family.defaults.width, family.defaults.height)
    if beginning.usual is not None and (asked == [None, None] or beginning.is_own):
        usual = beginning.usual
    return chosen("width", usual[0]), chosen("height", usual[1])


def check_own(kind: str, chosen: Chosen, family: Family) -> None:
    """Raise `BadInput` where a kind of its own is asked for what its sampler cannot: another level than the reference
    level, LoRAs, a parallel mode, guidance."""
    refused: dict[str, Callable[[Any], bool]] = {
        "level": lambda value: value not in (AUTO, family.reference),
        "loras": bool,
        "parallel": lambda value: value not in (AUTO, "off"),
        "guidance": lambda value: not OWN[kind].guided and value != 1,
    }
    for name, refuses in refused.items():
        value, where = chosen(name)
        if value is not None and refuses(value):
            allowed = f": it is drawn at {family.reference}" if name == "level" else ""
            raise BadInput(f"A {kind} takes no `{name}`{allowed}. Leave it out.", field=where)


def _nearest(image: InputImage, family: Family) -> Size:
    return nearest((image.width, image.height), family.limits.sizes)


def _check_alike(image: InputImage, second: InputImage, where: str) -> None:
    if (image.width, image.height) != (second.width, second.height):
        one, other = (f"{each.width}×{each.height}" for each in (image, second))
        raise BadInput(f"The images to fuse have {one} and {other} pixels: send both alike.", field=where)


def _enlarged(image: InputImage, factor: float, family: Family, where: str) -> Size:
    """The family's size nearest to so many times the image's; raises `OutOfRange` where that is not larger than it."""
    width, height = nearest((round(image.width * factor), round(image.height * factor)), family.limits.sizes)
    if width <= image.width or height <= image.height:
        known = ", ".join(f"{w}×{h}" for w, h in family.limits.sizes)
        raise OutOfRange(
            f"The image has {image.width}×{image.height} pixels, and family {family.id} draws none {factor:g} times as "
            f"large. It makes: {known}.",
            field=where,
        )
    return width, height
