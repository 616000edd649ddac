"""Measured quality: a sample of the requests is drawn again at `exact`; score over score."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.progress import Progress

from core.client import ArgusClient
from traces.replay.plan import Planned
from traces.replay.references import References
from traces.replay.send import Sent, wait

REFERENCES_S = 400.0  # patience with the references


def standard_error(values: Sequence[float]) -> float | None:
    """Of a mean; None where one value says nothing of the spread."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def relative(one: Sent, reference: str, scores: References) -> float | None:
    """Measured quality relative to `exact` with the same prompt and seed; None where a score is missing."""
    if not one.done or one.row["quality"]["score"] is None:
        return None
    return 1.0 if one.row["level"] == reference else scores.relative(one)


def draw_references(
    argus: ArgusClient, sent: Sequence[Sent], reference: str, scores: References, bar: Progress
) -> None:
    """Have the exact images of these requests drawn and scored, as batch work, where no policy had them before."""
    exact = [one for one in sent if one.done and one.row["level"] == reference]
    scores.scores.update({one.pair: s for one in exact if (s := one.row["quality"]["score"]) is not None})
    missing = sorted({one.pair for one in sent if one.done} - set(scores.scores))
    if not missing:
        return
    wish = [{"prompt": prompt, "seed": seed} for prompt, seed in missing]
    answer = argus.submit({"prompts": wish, "level": reference, "service_class": "batch", "title": "references"})
    ids = [line["id"] for line in answer["requests"]]
    drawn = [Sent(Planned(0.0, *pair), request_id=name) for pair, name in zip(missing, ids, strict=True)]
    wait(argus, drawn, REFERENCES_S, bar)
    scores.scores.update({one.pair: s for one in drawn if one.done and (s := one.row["quality"]["score"])})
