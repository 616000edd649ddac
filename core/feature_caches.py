"""Feature caches that `fc` levels may name: what their options may say."""

from __future__ import annotations

from typing import Literal

FeatureCache = Literal["first-block", "taylorseer"]

#: What an `fc` level's options may say, by its cache (diffusers' names).
CACHE_OPTIONS = {
    "first-block": {"threshold"},
    "taylorseer": {
        "cache_interval",
        "disable_cache_before_step",
        "disable_cache_after_step",
        "max_order",
        "use_lite_mode",
    },
}
