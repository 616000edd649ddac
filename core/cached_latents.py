"""Which cached latents a request may start from: what both must have in common, at which level, from which step.

Workers store and look up by this, and the router prices by it: only hits that a worker can use count.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from core.emphasis import read_emphasis, weighted
from core.families import Family
from core.levels import Level
from core.loras import read_loras

ANY = "*"


@dataclass(frozen=True)
class Kind:
    """What two requests must have in common for one to continue from the other's latent.

    `scheduler` is the sampler's class; the router, which loads no model, does not know it where the checkpoint names
    it, and leaves it empty: a model has one sampler in a version of its family. `model` says with which LoRAs, too.
    """

    family: str
    model: str
    version: str
    width: int
    height: int
    steps: int
    scheduler: str


def is_final(level: Level) -> bool:
    """Whether a level starts from finished latents (MoDM) and not from noisy ones (NIRVANA)."""
    return level.options.get("source") == "image"


def kind_of(
    family: Family,
    level: Level,
    width: int,
    height: int,
    steps: int,
    scheduler: str,
    final: bool | None = None,
    loras: str | None = None,
    words: str = "",
) -> Kind:
    """The kind of latents that a request of so many `steps` may start from at a level, or leaves behind.

    A finished latent (`final`, as the level says where it is not given) serves every model, step count and sampler.
    With LoRAs (as a row has them) the weights are others than the model's own: its latents serve those with the same
    LoRAs, each with the same weight, and nobody else. With weighted `words` (`weighted_words`) they serve the same
    words with the same weights: `(red:0.1) fox` is no start for `(red:2) fox`.
    """
    drawn_with = f"+{_digest(family, loras, words)}" if loras or words else ""
    if is_final(level) if final is None else final:
        return Kind(family.id, ANY + drawn_with, family.version, width, height, 0, ANY)
    total, _ = level.schedule(steps, family.defaults.steps)
    return Kind(family.id, level.model + drawn_with, family.version, width, height, total, scheduler)


def weighted_words(prompt: str, negative_prompt: str, emphasis: str | None) -> str:
    """Both texts of a row with the weights of their words; empty where all weigh the same."""
    spans = read_emphasis(emphasis)
    texts = (weighted(prompt, spans.prompt), weighted(negative_prompt, spans.negative_prompt))
    return "\n".join(texts) if emphasis else ""


def _digest(family: Family, loras: str | None, words: str) -> str:
    """The LoRAs of a row with their checksums, and its weighted words, as a short text."""
    files = [family.loras[use.name].sha256 for use in read_loras(loras) if use.name in family.loras]
    return hashlib.sha256(f"{loras} {files}{words}".encode()).hexdigest()[:16]
