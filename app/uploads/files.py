"""Which kind a file is, in which encoding, and its prompts.

By its ending: `.jsonl`, `.ndjson` JSON lines; `.json` a JSON list; `.txt` a prompt a line; all else a table, of Excel
where it begins as .xlsx does. Text is UTF-8 or, by its first bytes, UTF-16; what is no UTF-8 is read as Windows-1252,
as Excel writes CSV in western Europe, and said so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, count
from typing import IO, Any

from app.plain_json import loads
from app.schemas.submission import PromptIn
from app.uploads import excel
from app.uploads.cells import columns_of, prompt_of
from app.uploads.upload import Upload
from core.errors import BadCsv, BadInput, TooLarge
from core.settings import settings

LINE_CHARS = 100_000
LINES = 10  # for a prompt; it may have line ends in quotes
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
WESTERN = "cp1252"
ASSUMED = "The file is not UTF-8: it was read as Windows-1252 (cp1252)."
Read = Callable[[io.TextIOWrapper], Upload]


def read_upload(stream: IO[bytes], filename: str) -> Upload:
    """The prompts of a file.

    Raises:
        BadCsv, BadInput: what is wrong, with line and column.
        TooLarge: more prompts than ARGUS_MAX_FILE_PROMPTS.
    """
    start = stream.read(4)
    stream.seek(0)
    if start == excel.OLD_MAGIC:
        raise BadCsv("This is a workbook of Excel before 2007: save it as .xlsx or CSV.", field="file")
    if start == excel.MAGIC:
        upload = _table(excel.rows_of(stream), Upload("Row"))
    else:
        upload = _decoded(stream, start, READERS.get(filename.lower().rpartition(".")[2], read_csv))
    if not upload.prompts:
        raise BadCsv("The file has no prompts.", field="file")
    return upload


def _decoded(stream: IO[bytes], start: bytes, read: Read) -> Upload:
    """What `read` makes of the file's text; raises `BadCsv` for text in no encoding that is known here."""
    encoding = _encoding(start)
    try:
        return read(_Text(stream, encoding))
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise BadCsv(
                f"The file begins as {encoding} and does not go on so. Save it as UTF-8.", field="file"
            ) from error
    stream.seek(0)
    try:
        upload = read(_Western(stream, WESTERN))
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadCsv(
            f"The file is neither UTF-8 nor Windows-1252 (byte 0x{byte:02X}). Save it as UTF-8.", field="file"
        ) from None
    upload.notes.append(ASSUMED)
    return upload


def _encoding(start: bytes) -> str:
    """By the first four bytes: a byte order mark, or the zeros that UTF-16 puts between letters of English."""
    if start.startswith(UTF_16):
        return "utf-16"
    if start[1::2] == b"\0\0" and start[0]:
        return "utf-16-le"
    return "utf-16-be" if start[0::2] == b"\0\0" and start[1] else "utf-8-sig"


class _Text(io.TextIOWrapper):
    """A file's text; the file stays open when this goes."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        super().__init__(stream, encoding=encoding, newline="")

    def __del__(self) -> None:
        with suppress(ValueError):
            self.detach()


class _Western(_Text):
    """The same, of one that was no UTF-8: a line that is none the less makes it a file in two encodings."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        line = super().readline(size)
        if not line.isascii() and _is_utf_8(line):
            raise BadCsv(
                "A part of the file is UTF-8, another is not. Save all of it as UTF-8. "
                f"A line that is: {line.encode(WESTERN).decode()[:60]!r}.",
                field="file",
            )
        return line


def _is_utf_8(line: str) -> bool:
    try:
        line.encode(WESTERN).decode()
    except UnicodeError:
        return False
    return True


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file.

    Raises:
        BadCsv: a line that is longer than any prompt with its options.
        TooLarge: more lines than ARGUS_MAX_FILE_PROMPTS prompts have.
    """
    for number in count(1):
        if number > LINES * settings().max_file_prompts:
            raise TooLarge(f"More than {number - 1:,} lines in one file. Split it into several.", field="file")
        line = text.readline(LINE_CHARS)
        if len(line) == LINE_CHARS:
            raise BadCsv(f"Line {number} has more than {LINE_CHARS:,} characters.", field="file")
        if not line:
            return
        yield line


def read_csv(text: io.TextIOWrapper) -> Upload:
    """A table with a header, by comma, semicolon or tab, or as its first line `sep=;` says."""
    lines = _lines(text)
    header, before = next(lines, ""), 0
    delimiter = max(",;\t", key=header.count)
    if header.lower().startswith("sep=") and len(header.strip("\r\n")) == len("sep=") + 1:
        delimiter, before = header[4], 1
        header = next(lines, "")
    rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    try:
        return _table(((rows.line_num + before, row) for row in rows), Upload())
    except csv.Error as error:
        raise BadCsv(f"Line {rows.line_num + before}: {error}. Check the quotes.", field="file") from None


def _table(rows: Iterable[tuple[int, list[str]]], upload: Upload) -> Upload:
    """A header and rows, those without anything passed over."""
    filled = ((number, cells) for number, cells in rows if any(cell.strip() for cell in cells))
    _, header = next(filled, (1, []))
    names = columns_of(header, upload)
    for number, cells in filled:
        with upload.at(number):
            upload.add(prompt_of(names, cells), number)
    return upload


def read_lines(text: io.TextIOWrapper) -> Upload:
    """A prompt a line."""
    upload = Upload()
    for number, line in enumerate(_lines(text), start=1):
        if line.strip():
            upload.add(PromptIn(prompt=line), number)
    return upload


def read_jsonl(text: io.TextIOWrapper) -> Upload:
    """JSON lines, each a prompt as text or as an object with options."""
    upload = Upload()
    for number, line in enumerate(_lines(text), start=1):
        if line.strip():
            with upload.at(number):
                upload.add(_json_prompt(_json_line(line)), number)
    return upload


def _json_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise BadInput("This is not JSON.", field="file") from None


def read_json(text: io.TextIOWrapper) -> Upload:
    """A JSON list of prompts, each as text or as an object with options."""
    written, upload = text.read(), Upload("Entry")
    values = loads(written.encode() if written.isascii() else written, "file")
    if not isinstance(values, list):
        raise BadInput("The file must be a JSON list of prompts: texts, or objects with `prompt`.", field="file")
    for number, value in enumerate(values, start=1):
        with upload.at(number):
            upload.add(_json_prompt(value), number)
    return upload


def _json_prompt(value: Any) -> PromptIn:
    if isinstance(value, str):
        return PromptIn(prompt=value)
    if isinstance(value, dict):  # pandas writes NaN where there is nothing
        value = {name: None if isinstance(given, float) and given != given else given for name, given in value.items()}
    return PromptIn.model_validate(value)


READERS: dict[str, Read] = {"jsonl": read_jsonl, "ndjson": read_jsonl, "json": read_json, "txt": read_lines}
