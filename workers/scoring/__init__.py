"""Scorers of image against prompt: one a family, all by CLIPScore."""

from __future__ import annotations

from core.families import Family
from workers.scoring.base import Scorer


def load_scorer(family: Family, device: str = "cpu") -> Scorer:
    """The scorer that the family file names. Imports torch; raises `WeightsDamaged` where files are not as recorded."""
    if family.scorer.kind == "embedded-clip":
        from workers.scoring.embedded_clip import EmbeddedClip

        return EmbeddedClip(family.scorer.location, device)
    from workers.scoring.hub_clip import HubClip

    return HubClip(family.scorer.location, device)


__all__ = ["Scorer", "load_scorer"]
