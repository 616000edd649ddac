"""Every check of a submission, and the rows it becomes. Only images that it begins with touch database and store.

A job is taken whole or not at all. The first error names its field: `prompts.3.steps` for one prompt's own option,
`steps` for an option of the whole job.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from pydantic import ValidationError

from app.beginnings import Beginning, asked_size, beginning_of, check_own
from app.inputs import Inputs
from app.prompts.loras import take_tags, together, use_of
from app.prompts.texts import CONTROL, PromptText, clean_text
from app.prompts.weights import take_weights
from app.schemas.submission import CUSTOM_ID_CHARS, JobIn, PromptIn
from core.emphasis import Emphasis, Spans, written_emphasis
from core.errors import ArgusError, BadInput, BadPrompt, OutOfRange, TooLarge
from core.families import Family
from core.kinds import OWN
from core.loras import LoraUse
from core.numbers import MAX_SEED, RANDOM
from core.parallel import refusal as refusal_of_mode
from core.prompt_window import window_of
from core.refusals import refusal
from core.settings import settings
from core.stand_ins import stand_in

AUTO = "auto"
COUNTED = 500  # rows whose tokens are counted at once
RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", OutOfRange.code}
TAGS = {"text", "object"}  # pydantic's names for the two forms of a prompt


def rows_of(job: JobIn, family: Family) -> list[dict[str, Any]]:
    """The columns of each request of a job, in order: prompts, and within a prompt its seeds. Raises as `each_row`."""
    return list(each_row(job, family, settings().max_prompts))


def each_row(job: JobIn, family: Family, most: int) -> Iterator[dict[str, Any]]:
    """The same, one after the other: nobody has to hold all of them.

    Args:
        most: images of a job.

    Raises:
        BadInput: no prompts, or fields that exclude each other.
        BadPrompt, OutOfRange, UnknownLevel: with the field at fault.
        TooLarge: more images than that.
    """
    if job.seeds is not None and (job.n != 1 or job.seed is not None):
        raise BadInput("`seeds` lists every seed itself: send it without `n` and `seed`.", field="seeds")
    prompts, inputs = _prompts(job), Inputs()
    _check_size((1 if job.prompts is None else len(job.prompts)) * (len(job.seeds) if job.seeds else job.n), most)
    rows = (row for place, item in prompts for row in _rows(item, job, family, place, inputs))
    numbered = ({**row, "position": position} for position, row in enumerate(rows))
    while some := list(islice(numbered, COUNTED)):
        _count_truncated(some, family)
        yield from some


def _rows(item: PromptIn, job: JobIn, family: Family, place: str, inputs: Inputs) -> Iterator[dict[str, Any]]:
    """Those of one prompt."""
    columns = _columns(item, job, family, place, inputs)
    texts = _texts(item, job, family, place, empty=columns["own_kind"] is not None)
    given, field = _chosen(item, job, place, "loras", ())
    listed, fields = [use_of(one, family, field) for one in given], (field, _chosen(item, job, place, "level")[1])
    level = None if columns["level_asked"] == AUTO else stand_in(family, columns["level_asked"])
    mode, where = _chosen(item, job, place, "parallel", AUTO)
    for seed in _seeds(item, job, place):
        drawn, tagged = _texts_for(texts, seed, family)
        loras = together([*listed, *tagged], family, level, fields)
        if loras and columns["own_kind"]:
            raise BadInput(f"A {columns['own_kind']} takes no LoRA: take its tag out.", field=f"{place}prompt")
        if why := refusal_of_mode(mode, family, level or AUTO, loras):
            raise BadInput(why, field=where)
        yield {**columns, **drawn, "loras": loras, "parallel": mode, "seed": seed}


def _prompts(job: JobIn) -> Iterator[tuple[str, PromptIn]]:
    """Each prompt as an object, with the place its fields are named from (empty: the job itself)."""
    if (job.prompt is None) == (job.prompts is None):
        raise BadInput("Send either `prompt` or `prompts`.", field="prompts")
    if job.prompt is not None:
        return iter([("", PromptIn(prompt=job.prompt, custom_id=job.custom_id))])
    if job.custom_id is not None:
        raise BadInput("Of several prompts each has an id of its own: put it beside the prompt.", field="custom_id")
    if not job.prompts:
        raise BadInput("`prompts` is empty: send at least one.", field="prompts")
    objects = (PromptIn(prompt=item) if isinstance(item, str) else item for item in job.prompts)
    return ((f"prompts.{position}.", item) for position, item in enumerate(objects))


def _count_truncated(rows: list[dict[str, Any]], family: Family) -> None:
    """Note how many tokens of each row's prompts will not be read, where that is known before they are drawn."""
    window, names = window_of(family), ("prompt", "negative_prompt")
    texts = list({row[name]: None for row in rows for name in names}) if window else []
    counts = dict(zip(texts, window.truncated(texts) if window else [], strict=True))
    for row in rows:
        row["truncated_tokens"], row["negative_truncated_tokens"] = (counts.get(row[name]) for name in names)


def _check_size(images: int, most: int) -> None:
    if images > most:
        raise TooLarge(
            f"{images:,} images in one job; at most {most:,} are taken (ARGUS_MAX_PROMPTS; of a file "
            "ARGUS_MAX_FILE_PROMPTS). Split it into several jobs.",
            field="prompts",
        )


def _chosen(item: PromptIn, job: JobIn, place: str, name: str, default: Any = None) -> tuple[Any, str]:
    """An option of a prompt, and where it stands: its own, else the job's, else the default."""
    own = getattr(item, name)
    if own is not None:
        return own, f"{place}{name}"
    shared = getattr(job, name)
    return (default if shared is None else shared), name


def _columns(item: PromptIn, job: JobIn, family: Family, place: str, inputs: Inputs) -> dict[str, Any]:
    """Columns of one prompt that are the same for each of its seeds, each checked."""
    chosen, defaults = partial(_chosen, item, job, place), family.defaults
    beginning = beginning_of(chosen, inputs, family)
    width, height = asked_size(chosen, family, beginning)
    if beginning.is_own:
        check_own(beginning.kind, chosen, family)
    return {
        **beginning.columns,
        **dict(zip(("width", "height"), _size(family, width, height), strict=True)),
        "steps": _within(family.limits.steps, *chosen("steps", defaults.steps)),
        "guidance": _guidance(family, beginning, *chosen("guidance", defaults.guidance)),
        "level_asked": family.reference if beginning.is_own else _level(family, *chosen("level", AUTO)),
        "min_quality": chosen("min_quality")[0],
        "custom_id": _custom_id(item.custom_id, f"{place}custom_id"),
    }


def _texts(item: PromptIn, job: JobIn, family: Family, place: str, empty: bool) -> tuple[PromptText, PromptText]:
    """Prompt and negative prompt; the first may be `empty` where pictures say what is wanted."""
    limit, literal = family.limits.prompt_chars, bool(_chosen(item, job, place, "literal")[0])
    negative, where = _chosen(item, job, place, "negative_prompt", "")
    return (
        PromptText.of(item.prompt, f"{place}prompt", limit, empty=empty, literal=literal),
        PromptText.of(negative, where, limit, empty=True, literal=literal),
    )


def _texts_for(
    texts: tuple[PromptText, PromptText], seed: int, family: Family
) -> tuple[dict[str, str | None], list[LoraUse]]:
    """The columns of both texts for one seed, and the LoRAs that the prompt names."""
    (prompt, asked), (negative, negative_asked) = (text.drawn(seed) for text in texts)
    prompt, asked, uses = _without_tags(texts[0], prompt, asked, family)
    prompt, asked, spans = _without_weights(texts[0], prompt, asked, family)
    negative, negative_asked, of_negative = _without_weights(texts[1], negative, negative_asked, family)
    columns = {
        "prompt": prompt,
        "prompt_asked": asked,
        "negative_prompt": negative,
        "negative_prompt_asked": negative_asked,
        "emphasis": written_emphasis(Emphasis(spans, of_negative)),
    }
    return columns, uses


def _without_tags(
    text: PromptText, drawn: str, asked: str | None, family: Family
) -> tuple[str, str | None, list[LoraUse]]:
    """What was drawn of a prompt without its tags of LoRAs, what was written where that differs, and the LoRAs."""
    if text.literal:
        return drawn, asked, []
    plain, uses = take_tags(drawn, family, text.field)
    if plain == drawn:
        return drawn, asked, []
    return clean_text(plain, text.field, text.limit), asked or text.written, uses


def _without_weights(text: PromptText, drawn: str, asked: str | None, family: Family) -> tuple[str, str | None, Spans]:
    """What was drawn of a text without its weights, what was written where that differs, and the weights."""
    if text.literal or not family.prompt_weights:
        return drawn, asked, ()
    plain, spans = take_weights(drawn, text.field)
    if plain == drawn:
        return drawn, asked, spans
    return clean_text(plain, text.field, text.limit, empty=text.empty), asked or text.written, spans


def _custom_id(given: str | None, field: str) -> str | None:
    """The client's own id; empty is none. Raises `BadInput`."""
    text = (given or "").strip()
    if len(text) > CUSTOM_ID_CHARS or CONTROL.search(text):
        raise BadInput(
            f"An id of yours is at most {CUSTOM_ID_CHARS} characters, none of them a control character.", field=field
        )
    return text or None


def _size(family: Family, width: tuple[int, str], height: tuple[int, str]) -> tuple[int, int]:
    sizes = family.limits.sizes
    if (width[0], height[0]) not in sizes:
        known = ", ".join(f"{w}×{h}" for w, h in sizes)
        at_fault = height if width[0] in {w for w, _ in sizes} else width
        raise OutOfRange(
            f"{width[0]}×{height[0]} pixels is no size of family {family.id}. It makes: {known}.", field=at_fault[1]
        )
    return width[0], height[0]


def _within(bounds: tuple[float, float], value: float, field: str) -> float:
    low, high = bounds
    if not low <= value <= high:
        name = field.rpartition(".")[2]
        raise OutOfRange(f"`{name}` is {value:g}, which is outside {low:g} to {high:g}.", field=field)
    return value


def _guidance(family: Family, beginning: Beginning, asked: float, field: str) -> float:
    """As asked; 1, which is none, of kinds whose samplers take none."""
    if beginning.is_own and not OWN[beginning.kind].guided:
        return 1.0
    return float(_within(family.limits.guidance, asked, field))


def _level(family: Family, level: str, field: str) -> str:
    if level == AUTO or level in family.withheld:  # it is drawn at the next one (`core.stand_ins`)
        return level
    try:
        return family.level(level).id
    except ArgusError as error:
        error.field = field
        raise


def _seeds(item: PromptIn, job: JobIn, place: str) -> Sequence[int]:
    """Seeds of one prompt: its own, else those of the job, else drawn; one by one, or the first of n."""
    if job.seeds is not None and item.seed is None:
        return [_drawn(1) if seed == RANDOM else seed for seed in job.seeds]
    first, field = (item.seed, f"{place}seed") if item.seed is not None else (job.seed, "seed")
    if first is None or first == RANDOM:
        first = _drawn(job.n)
    if first + job.n - 1 > MAX_SEED:
        raise OutOfRange(f"Seed {first} and the {job.n - 1} after it pass the last, {MAX_SEED}.", field=field)
    return range(first, first + job.n)


def _drawn(n: int) -> int:
    """A seed that nobody chose, the first of n: every client takes them back, even one that knows 32 bits only."""
    return secrets.randbelow(2**32 - n)


def input_error(error: ValidationError) -> ArgusError:
    """The first thing that pydantic found wrong, as an error of ours: which kind, which field, what to do."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part not in TAGS) or None
    kind = BadPrompt if first["type"] == "string_unicode" else OutOfRange if first["type"] in RANGE_ERRORS else BadInput
    return kind(refusal(first), field=field)
