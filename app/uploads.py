"""Prompts from files: CSV with a header, or one JSON object a line. Read as a stream, refused at the first error.

A file with too many prompts is refused at the first one too many; ARGUS_MAX_UPLOAD_MB limits its size before that.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import IO

from pydantic import ValidationError

from app.schemas.submission import JobIn, Options, PromptIn
from app.submission import input_error, options_from_text
from core.errors import ArgusError, BadCsv, BadInput, TooLarge
from core.settings import settings

COLUMN = "prompt"
COLUMNS = (COLUMN, *Options.model_fields)
MOST_COLUMNS = 100
LINE_CHARS = 100_000
LINES = 10  # for a prompt; it may have line ends in quotes
BOMS = (b"\xff\xfe", b"\xfe\xff")


class Upload:
    """Prompts of a file, and the line each stood on (errors name it)."""

    def __init__(self) -> None:
        self.prompts: list[PromptIn] = []
        self.lines: list[int] = []
        self.ignored: list[str] = []

    def add(self, prompt: PromptIn, line: int) -> None:
        """Take one more; raises `TooLarge` beyond ARGUS_MAX_PROMPTS."""
        if len(self.prompts) >= settings().max_prompts:
            raise TooLarge(
                f"More than {settings().max_prompts:,} prompts in one file. Split it into several.", field="file"
            )
        self.prompts.append(prompt)
        self.lines.append(line)

    def into(self, job: JobIn) -> JobIn:
        """The job with these prompts."""
        return job.model_copy(update={"prompts": list(self.prompts)})

    @contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Errors about `prompts.3.steps` say the line and the column instead."""
        try:
            yield
        except ArgusError as error:
            if found := re.fullmatch(r"prompts\.(\d+)\.(\w+)", error.field or ""):
                raise type(error)(f"Line {self.lines[int(found[1])]}: {error.message}", field=found[2]) from error
            raise


def read_upload(stream: IO[bytes], filename: str) -> Upload:
    """Read a file by its ending: `.jsonl` (or `.ndjson`) as JSON lines, all else as CSV.

    Raises:
        BadCsv, BadInput: what is wrong, with line and column.
        TooLarge: more prompts than ARGUS_MAX_PROMPTS.
    """
    lines = filename.lower().endswith((".jsonl", ".ndjson"))
    upload = read_jsonl(stream) if lines else read_csv(stream)
    if not upload.prompts:
        raise BadCsv("The file has no prompts.", field="file")
    return upload


def read_csv(stream: IO[bytes]) -> Upload:
    """Read a CSV with a header. Comma, semicolon or tab; UTF-8; the column `prompt`, and any of `COLUMNS`."""
    text, upload = _text(stream), Upload()
    with _decoding():
        lines = _lines(text)
        header = next(lines, "")
        delimiter = max(",;\t", key=header.count)
        rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
        try:
            names = _header(next(rows, []))
            upload.ignored = [name for name in names if name not in COLUMNS]
            for row in rows:
                if any(cell.strip() for cell in row):
                    upload.add(_row(names, row, rows.line_num), rows.line_num)
        except csv.Error as error:
            raise BadCsv(f"Line {rows.line_num}: {error}. Check the quotes.", field="file") from None
    return upload


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file.

    Raises:
        BadCsv: a line that is longer than any prompt with its options.
        TooLarge: more lines than ARGUS_MAX_PROMPTS prompts have.
    """
    for number in count(1):
        if number > LINES * settings().max_prompts:
            raise TooLarge(f"More than {number - 1:,} lines in one file. Split it into several.", field="file")
        line = text.readline(LINE_CHARS)
        if len(line) == LINE_CHARS:
            raise BadCsv(f"Line {number} has more than {LINE_CHARS:,} characters.", field="file")
        if not line:
            return
        yield line


def _header(cells: list[str]) -> list[str]:
    if len(cells) > MOST_COLUMNS:
        raise BadCsv(
            f"The first line names {len(cells):,} columns; at most {MOST_COLUMNS} are taken. Is the delimiter right?",
            field="file",
        )
    names = [cell.strip().lower() for cell in cells]
    if COLUMN not in names:
        found = ", ".join(names)[:200] or "nothing"
        raise BadCsv(f"The first line must name a column `{COLUMN}`; it names: {found}.", field=COLUMN)
    if twice := next((name for name in COLUMNS if names.count(name) > 1), None):
        raise BadCsv(f"The column `{twice}` stands twice.", field=twice)
    return names


def _row(names: list[str], cells: list[str], line: int) -> PromptIn:
    if len(cells) > len(names):
        raise BadCsv(
            f"Line {line}: {len(cells)} cells, the header has {len(names)}. Put a prompt with commas in quotes.",
            field=COLUMN,
        )
    values = dict(zip(names, cells, strict=False))
    with _line(line):
        return PromptIn(prompt=values.get(COLUMN, ""), **options_from_text(values))


def read_jsonl(stream: IO[bytes]) -> Upload:
    """Read JSON lines, each a prompt as text or as an object with options."""
    text, upload = _text(stream), Upload()
    with _decoding():
        for number, line in enumerate(_lines(text), start=1):
            if line.strip():
                upload.add(_json_line(line, number), number)
    return upload


def _json_line(text: str, line: int) -> PromptIn:
    with _line(line):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise BadInput("This is not JSON.", field="file") from None
        return PromptIn(prompt=value) if isinstance(value, str) else PromptIn.model_validate(value)


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    start = stream.read(2)
    stream.seek(0)
    if start in BOMS:
        raise BadCsv("The file is UTF-16. Save it as UTF-8.", field="file")
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadCsv(f"The file is not UTF-8 (byte 0x{byte:02X}). Save it as UTF-8.", field="file") from None


@contextmanager
def _line(number: int) -> Iterator[None]:
    """Errors inside are about this line."""
    try:
        yield
    except ValidationError as error:
        found = input_error(error)
        raise type(found)(f"Line {number}: {found.message}", field=found.field) from None
    except ArgusError as error:
        raise type(error)(f"Line {number}: {error.message}", field=error.field) from None
