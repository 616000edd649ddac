"""Workbooks: their first sheet is a table like any other; what would unpack to far more is refused before."""

from __future__ import annotations

import io
import time
import zipfile
from contextlib import suppress
from datetime import date
from typing import Any

import openpyxl
import pytest
from flask.testing import FlaskClient

from app.uploads import read_upload
from core.errors import ArgusError, BadCsv, TooLarge
from core.families import Family
from tests.app.conftest import configured, rows
from tests.app.uploads.test_files import upload

TEXTS, SHEET = "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"


def workbook(*table: list[Any], hidden: bool = False) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    if hidden:
        sheet.append(["nothing"])
        sheet.sheet_state = "hidden"
        sheet = book.create_sheet()
    for row in table:
        sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def changed(content: bytes, name: str, part: bytes) -> bytes:
    """The workbook with another part of that name."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.infolist():
            if each.filename != name:
                new.writestr(each.filename, old.read(each))
        new.writestr(name, part)
    return sink.getvalue()


@pytest.mark.parametrize("hidden", [False, True])
def test_the_first_sheet_that_is_seen_is_a_table(client: FlaskClient, hidden: bool) -> None:
    content = workbook(
        ["Id", "Prompt", "Seed", "Steps", "Day"],
        [1.0, "ein Bär", 7.0, None, date(2026, 11, 27)],
        [None, None, None, None, None],
        ["x", 1984, -1, "12", None],
        hidden=hidden,
    )
    job = upload(client, content, "prompts.xlsx").get_json()
    requests = [client.get(r["link"]).get_json() for r in job["requests"]]
    assert [(r["custom_id"], r["prompt"], r["steps"]) for r in requests] == [("1", "ein Bär", 20), ("x", "1984", 12)]
    assert requests[0]["seed"] == 7
    assert job["ignored_columns"] == ["day"]


def test_a_fault_names_row_and_column(client: FlaskClient) -> None:
    answer = upload(client, workbook(["Prompt", "CFG Scale"], ["a", 2], [], ["b", True]), "p.xlsx")
    assert answer.get_json()["error"]["message"].startswith("Row 4, column `CFG Scale`: ")
    assert rows() == (0, 0)


def test_a_cell_far_away_costs_nothing(family: Family) -> None:
    content = workbook(["prompt"], ["a cat"])
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = book.read(SHEET).decode()
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    bomb = changed(content, SHEET, sheet.replace("</sheetData>", far).encode())
    began = time.monotonic()
    with configured(ARGUS_MAX_FILE_PROMPTS="1000"), pytest.raises(TooLarge, match="rows"):
        read_upload(io.BytesIO(bomb), "p.xlsx")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("part", [b"<sst>" + b" " * 100_000_000, b"<sst>" + b"<si><t>a</t></si>" * 1_000_000])
@pytest.mark.parametrize("name", [TEXTS, SHEET])
def test_what_unpacks_to_far_more_is_refused_before(family: Family, name: str, part: bytes) -> None:
    content = changed(workbook(["prompt"], ["a cat"]), name, part)
    assert len(content) < 2_000_000
    with configured(ARGUS_MAX_FILE_PROMPTS="1000"), pytest.raises(TooLarge):
        read_upload(io.BytesIO(content), "p.xlsx")


def test_entities_that_multiply_are_not_followed(family: Family) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    content = workbook(["prompt"], ["a cat"])
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = book.read(SHEET).decode().replace("a cat", "&e11;")
    part = f'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">{entities}]>{sheet}'
    with pytest.raises(ArgusError):
        read_upload(io.BytesIO(changed(content, SHEET, part.encode())), "p.xlsx")


@pytest.mark.parametrize("kept", [100, 1000, 3000])
def test_a_damaged_workbook_is_refused(family: Family, kept: int) -> None:
    with pytest.raises(BadCsv):
        read_upload(io.BytesIO(workbook(["prompt"], ["a cat"])[:kept]), "p.xlsx")


@pytest.mark.parametrize("name", ["xl/workbook.xml", SHEET, "[Content_Types].xml", TEXTS])
@pytest.mark.parametrize("part", [b"", b"<a/>", b"\x00\xff", b"<sst><si/></sst>"])
def test_a_part_that_is_something_else_is_no_fault_of_ours(family: Family, name: str, part: bytes) -> None:
    with suppress(ArgusError):
        read_upload(io.BytesIO(changed(workbook(["prompt"], ["a cat"]), name, part)), "p.xlsx")


def test_a_zip_of_something_else_is_refused(family: Family) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        packed.writestr("prompts.csv", "prompt\na cat\n")
    with pytest.raises(BadCsv, match=r"no \.xlsx"):
        read_upload(io.BytesIO(sink.getvalue()), "prompts.csv")
