"""The first sheet of an .xlsx as rows of texts. An .xlsx is packed XML: what it would unpack to is looked at before.

openpyxl reads the sheet row by row, and the table of its texts at once; both are bounded by what ARGUS_MAX_FILE_PROMPTS
prompts could need. What a formula made is taken, as the program that wrote the file last computed it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, time
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from app.uploads.cells import MOST_COLUMNS
from core.errors import BadCsv, TooLarge
from core.settings import settings

MAGIC, OLD_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # of zip files, and of what Excel wrote before 2007
SPREAD, MARKS = 10, 150  # rows of a sheet for one prompt; tags of XML
UNPACKED = 4  # bytes that a byte of ARGUS_MAX_UPLOAD_MB may unpack to
BROKEN = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    ParseError,
    EOFError,
    OSError,
)


def rows_of(stream: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Each row of the first sheet that has something in it: its number and its cells.

    Raises:
        BadCsv: this is no .xlsx, or a damaged one.
        TooLarge: it would unpack to more than is taken.
    """
    import openpyxl

    try:
        _check_size(stream)
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        try:
            sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
            sheet.reset_dimensions()  # as the file says; a row or a column may be anywhere
            most = SPREAD * settings().max_file_prompts
            for number, row in enumerate(sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True), start=1):
                if number > most:
                    raise TooLarge(f"The sheet has more than {most:,} rows. Split it into several.", field="file")
                cells = [_text(value) for value in row]
                if any(cells):
                    yield number, cells[: _width(cells)]
        finally:
            book.close()
    except StopIteration:
        raise BadCsv("The workbook has no sheet with cells.", field="file") from None
    except BROKEN as error:
        raise BadCsv(f"The file is no .xlsx, or a damaged one ({type(error).__name__}).", field="file") from None


def _check_size(stream: IO[bytes]) -> None:
    """Raises `TooLarge` for what would take more memory or time than the prompts of any job."""
    most = UNPACKED * settings().max_upload_mb * 2**20
    with zipfile.ZipFile(stream) as packed:
        unpacked = sum(part.file_size for part in packed.infolist())
        if unpacked > most:
            raise TooLarge(
                f"The workbook unpacks to {unpacked // 2**20:,} MB; at most {most // 2**20:,} are taken "
                f"({UNPACKED} × ARGUS_MAX_UPLOAD_MB). Save the sheet alone, as CSV or as a workbook of its own.",
                field="file",
            )
        for part in packed.infolist():
            _check_part(packed, part)
    stream.seek(0)


def _check_part(packed: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Raises `TooLarge` for a part with more elements than such a sheet, or the table of its texts, could have."""
    marks, most = 0, MARKS * settings().max_file_prompts
    with packed.open(part) as text:
        while piece := text.read(2**20):
            marks += piece.count(b"<")
            if marks > most:
                prompts = f"{settings().max_file_prompts:,} prompts"
                raise TooLarge(f"The workbook has a sheet or texts for more than {prompts}. Save the sheet that you "
                               "mean alone.", field="file")  # fmt: skip


def _text(value: Any) -> str:
    """A cell as text: whole floats without a point, times as ISO writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _width(cells: list[str]) -> int:
    """The cells up to the last with something in it."""
    return max(place for place, cell in enumerate(cells, start=1) if cell)
