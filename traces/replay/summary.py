"""The figures of a replay, as the contract of `argus replay --json` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.quality import quality_lost
from traces.replay.references import References
from traces.replay.send import Sent


def summary(sent: Sequence[Sent], duration_s: float, reference: str, references: References | None) -> dict[str, Any]:
    """The figures that docs/formats.md lists, and where the quality comes from."""
    served = [one for one in sent if one.done]
    latencies = np.array([one.latency_s for one in served])
    quality = [q for one in served if (q := _quality(one, reference, references)) is not None]
    scores = [one.row["quality"]["score"] for one in served if one.row["quality"]["score"] is not None]
    violations = sum(one.violated for one in sent)
    levels = Counter(one.row["level"] for one in served)
    percentiles = {f"latency_p{p}_s": float(np.percentile(latencies, p)) if len(served) else None for p in (50, 95, 99)}
    return {
        "requests": len(sent),
        "served": len(served),
        "violations": violations,
        "violation_rate": violations / len(sent) if sent else 0.0,
        "goodput_per_minute": 60 * sum(not one.violated for one in served) / duration_s,
        "quality_mean": float(np.mean(quality)) if quality else None,
        "quality_lost": quality_lost(quality),
        **percentiles,
        "levels": {level: count / len(served) for level, count in sorted(levels.items())},
        "quality_is": "measured" if references else "predicted",
        "score_mean": float(np.mean(scores)) if scores else None,
        "refused": sum(one.refused is not None for one in sent),
    }


def _quality(one: Sent, reference: str, references: References | None) -> float | None:
    if one.row["level"] == reference:
        return 1.0
    if references is not None:
        return references.relative(one) if one.row["quality"]["score"] is not None else None
    return one.row["quality"]["predicted"]  # type: ignore[no-any-return]
