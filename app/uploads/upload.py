"""The prompts of a file, and where in it each stood."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from app.schemas.submission import JobIn, PromptIn
from app.submission import input_error
from core.errors import ArgusError, TooLarge
from core.settings import settings

BREATH, BREATH_S = 200, 0.002  # after so many prompts, so long, other threads of this process are let run


class Packed(Sequence[PromptIn]):
    """Prompts that were checked, as text of a tenth of their size; each is an object while it is looked at."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def add(self, prompt: PromptIn) -> None:
        """Take one more."""
        self.written.append(prompt.model_dump_json(exclude_unset=True))

    def __len__(self) -> int:
        return len(self.written)

    def __getitem__(self, place: Any) -> Any:
        return PromptIn.model_validate_json(self.written[place])


class Upload:
    """Prompts in order. `unit` is what a place in the file is called (Line 7, Row 7, Entry 7), `columns` the names that
    its columns have where they are not those of our options, `ignored` those that are no options."""

    def __init__(self, unit: str = "Line") -> None:
        self.unit = unit
        self.prompts = Packed()
        self.places: list[int] = []
        self.columns: dict[str, str] = {}
        self.ignored: list[str] = []
        self.notes: list[str] = []

    def add(self, prompt: PromptIn, place: int) -> None:
        """Take one more; raises `TooLarge` beyond ARGUS_MAX_FILE_PROMPTS."""
        most = settings().max_file_prompts
        if len(self.prompts) >= most:
            raise TooLarge(
                f"More than {most:,} prompts in one file (ARGUS_MAX_FILE_PROMPTS). Split it into several.", field="file"
            )
        if len(self.prompts) % BREATH == BREATH - 1:
            time.sleep(BREATH_S)
        self.prompts.add(prompt)
        self.places.append(place)

    def into(self, job: JobIn) -> JobIn:
        """The job with these prompts."""
        return job.model_copy(update={"prompts": self.prompts})

    def as_json(self) -> list[dict[str, Any]]:
        """The prompts as `POST /v1/jobs` takes them."""
        return [prompt.model_dump(exclude_none=True) for prompt in self.prompts]

    @contextmanager
    def at(self, place: int) -> Iterator[None]:
        """Errors inside are about this line."""
        try:
            yield
        except ValidationError as error:
            found = input_error(error)
            raise type(found)(self._where(place, found.field) + found.message, field=found.field) from None
        except ArgusError as error:
            raise type(error)(self._where(place, error.field) + error.message, field=error.field) from None

    @contextmanager
    def naming_lines(self, before: int = 0) -> Iterator[None]:
        """Errors about `prompts.3.steps` say line and column instead; so many prompts come before the file's."""
        try:
            yield
        except ArgusError as error:
            found = re.fullmatch(r"prompts\.(\d+)\.(\w+)", error.field or "")
            if found and 0 <= (place := int(found[1]) - before) < len(self.places):
                raise type(error)(self._where(self.places[place], found[2]) + error.message, field=found[2]) from error
            raise

    def _where(self, place: int, field: str | None) -> str:
        column = f", column `{self.columns[field]}`" if field in self.columns else ""
        return f"{self.unit} {place}{column}: "
