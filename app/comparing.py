"""One prompt at several levels with the same seeds: submitted as one job."""

from __future__ import annotations

from app import jobs
from app.schemas.compare import SEEDS, CompareIn
from app.schemas.submission import JobIn, Options, PromptIn
from core.errors import ArgusError
from core.families import Family, load_family
from core.settings import settings

OWN = ("level", "seed")


def submit(wanted: CompareIn, source: str) -> jobs.Submitted:
    """A job of every level with every seed; raises as `jobs.submit`, with the fields of `wanted` named."""
    family = load_family(settings().family)
    levels = wanted.levels or ([wanted.level] if wanted.level else _all(family, wanted))
    seeds = wanted.seeds or ([wanted.seed] if wanted.seed is not None else list(SEEDS))
    shared = {name: getattr(wanted, name) for name in Options.model_fields if name not in OWN}
    each = [PromptIn(prompt=wanted.prompt, level=level, seed=seed) for level in levels for seed in seeds]
    job = JobIn(prompts=list(each), title=wanted.title, service_class=wanted.service_class, **shared)
    try:
        return jobs.submit(job, source)
    except ArgusError as error:
        error.field = _field(error.field)
        raise


def _all(family: Family, wanted: CompareIn) -> list[str]:
    """The levels that can draw with the LoRAs asked for; all, where the job will say what is wrong with those."""
    named = ",".join(f"{lora.name}:1" for lora in wanted.loras or ())
    return [level for level in family.levels if family.draws(level, named)] or list(family.levels)


def _field(name: str | None) -> str | None:
    """`prompts.3.level` is one of the levels here."""
    if not name or not name.startswith("prompts."):
        return name
    last = name.rpartition(".")[2]
    return f"{last}s" if last in OWN else last
