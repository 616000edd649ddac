"""A table's header and its rows: which column is which option, and what an empty cell is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.schemas.submission import Options, PromptIn
from app.uploads.upload import Upload
from core.errors import BadCsv

PROMPT, OWN_ID = "prompt", "custom_id"
COLUMNS = (PROMPT, OWN_ID, *Options.model_fields)
MOST_COLUMNS = 100
#: What other programs call a column, in lower case with underscores.
OTHER_NAMES = {
    "id": OWN_ID,
    "prompts": PROMPT,
    "negative": "negative_prompt",
    "lora": "loras",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "guidance_scale": "guidance",
    "num_inference_steps": "steps",
    "sampling_steps": "steps",
}
#: What pandas and spreadsheets write where there is nothing; a prompt may be any of them.
NOTHING = {"", "nan", "none", "null", "n/a", "#n/a", "<na>"}


def columns_of(cells: Sequence[str], upload: Upload) -> list[str]:
    """The option that each column is, or the column's own name; noted in `upload`.

    Raises:
        BadCsv: too many columns, none with prompts, or two for one option.
    """
    if len(cells) > MOST_COLUMNS:
        raise BadCsv(
            f"The first line names {len(cells):,} columns; at most {MOST_COLUMNS} are taken. Is the delimiter right?",
            field="file",
        )
    plain = ["_".join(cell.strip().lower().replace("-", " ").replace("_", " ").split()) for cell in cells]
    names = [_option(name, plain) for name in plain]
    if PROMPT not in names:
        found = ", ".join(cell.strip() for cell in cells)[:200] or "nothing"
        raise BadCsv(f"The first line must name a column `{PROMPT}`; it names: {found}.", field=PROMPT)
    if twice := next((name for name in COLUMNS if names.count(name) > 1), None):
        raise BadCsv(f"Two columns are `{twice}`: leave one.", field=twice)
    upload.columns = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name in COLUMNS}
    upload.ignored = [name for name in names if name not in COLUMNS]
    return names


def _option(name: str, names: Sequence[str]) -> str:
    """Our name of a column, unless another column has it already."""
    option = OTHER_NAMES.get(name, name)
    return name if option != name and option in names else option


def prompt_of(names: Sequence[str], cells: Sequence[str]) -> PromptIn:
    """The prompt of a row, what is empty left out.

    Raises:
        BadCsv: more cells than the header has.
        ValidationError: a cell that its option cannot have.
    """
    if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
        raise BadCsv(
            f"{len(cells)} cells, the header has {len(names)}. Put a prompt with commas in quotes.", field=PROMPT
        )
    values = dict(zip(names, cells, strict=False))
    return PromptIn(prompt=values.get(PROMPT, ""), **_options(values))


def _options(values: Mapping[str, str]) -> dict[str, Any]:
    """The options of a row as text; `core/numbers.py` reads those that are numbers."""
    cells = {name: values[name].strip() for name in COLUMNS if name != PROMPT and name in values}
    return {name: cell for name, cell in cells.items() if cell.lower() not in NOTHING}
