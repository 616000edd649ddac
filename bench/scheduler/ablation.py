"""What each part of Argus contributes."""

from __future__ import annotations

from typing import Any

from bench.scheduler.parallel import each
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.tables import AGAIN, show_policies
from scheduler.policies import Cluster
from scheduler.policies.argus import Argus
from scheduler.simulate import Report
from traces.reader import Trace


class Blind(Argus):
    prompt_aware = False


class Early(Argus):
    late_binding = False


class Queueing(Argus):
    admission_control = False


TRUE = "true qualities told"
PARTS: dict[str, type[Argus]] = {
    "argus": Argus,
    "without prompts": Blind,
    "level bound at arrival": Early,
    "late requests keep their place": Queueing,
    TRUE: Argus,
}


def ablation(setup: Setup) -> dict[str, Any]:
    """What each part of Argus contributes in Twitter's burst."""
    found: dict[str, Any] = {"seeds": list(setup.seeds)}
    for peak in (0.95, 1.3):
        trace = setup.burst.scaled_to(peak * setup.capacity)
        runs = {name: each(setup, _run, [(trace, name, seed) for seed in setup.seeds]) for name in PARTS}
        found[f"{peak:g}"] = {name: pooled(reports) for name, reports in runs.items()}
    return found


def _run(setup: Setup, trace: Trace, name: str, seed: int) -> Report:
    made = PARTS[name](Cluster({"a100": setup.profile}, setup.slo_s))
    return setup.run("argus", setup.work(trace, seed, true=name == TRUE), made)


def show_ablation(data: dict[str, Any]) -> str:
    if "seeds" not in data:
        return AGAIN
    tables = [
        f"Peak at {float(peak):.0%}:\n\n{show_policies({'policies': rows})}"
        for peak, rows in data.items()
        if peak != "seeds"
    ]
    return "\n\n".join([f"Seeds run: {len(data['seeds'])}.", *tables])


PART = Part(ablation, show_ablation, "What each part contributes", "Twitter's burst, `argus` with one part taken away.")
