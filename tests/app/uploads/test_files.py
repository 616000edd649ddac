"""Files of prompts: CSV and JSON lines."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.uploads import read_upload
from core.errors import BadCsv, TooLarge
from core.families import Family
from tests.app.conftest import code_and_field, configured, rows


def upload(client: FlaskClient, content: bytes, name: str = "prompts.csv", **options: str) -> Any:
    return client.post("/v1/jobs/csv", data={"file": (io.BytesIO(content), name), **options})


def test_a_csv_becomes_one_batch_job_in_its_order(client: FlaskClient) -> None:
    content = 'Prompt,seed,level,Category\n"a cat, asleep",7,exact,x\n\na dog,,,y\n'
    job = upload(client, content.encode(), title="pets", steps="12").get_json()
    assert (job["size"], job["service_class"], job["ignored_columns"]) == (2, "batch", ["category"])
    cat, dog = [client.get(r["link"]).get_json() for r in job["requests"]]
    assert (cat["prompt"], cat["seed"], cat["level_asked"], cat["steps"]) == ("a cat, asleep", 7, "exact", 12)
    assert (dog["prompt"], dog["level_asked"]) == ("a dog", "auto")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfprompt\na cat\n",
        b"prompt;seed\na cat;1\n",
        b"seed\tprompt\r\n1\ta cat\r\n",
        b"prompt\na cat",
        b"sep=;\r\nprompt;seed\r\na cat;1\r\n",
        b"SEP=|\nprompt|seed\na cat|1\n",
        b"prompt\ra cat\r",
        "prompt,seed\na cat,1\n".encode("utf-16"),
        "prompt,seed\r\na cat,1\r\n".encode("utf-16-le"),
        "prompt,seed\na cat,1\n".encode("utf-16-be"),
        b"\n\nprompt\na cat\n",
        b"prompt,seed,,\na cat,1,,\n,,,\n",
    ],
    ids=[
        *("byte order mark", "semicolons", "tabs", "no last line break", "sep", "sep of another kind", "old Mac"),
        *("UTF-16", "UTF-16 without mark", "the other UTF-16", "lines before", "empty columns"),
    ],
)
def test_what_spreadsheets_write_is_read(content: bytes, family: Family) -> None:
    upload = read_upload(io.BytesIO(content), "prompts.csv")
    assert [p.prompt for p in upload.prompts] == ["a cat"]
    assert upload.notes == []


WRONG = [
    (b"text\na cat\n", 422, "bad_csv", "prompt"),
    (b"", 422, "bad_csv", "prompt"),
    (b"prompt\n", 422, "bad_csv", "file"),
    (b"prompt,prompt\na,b\n", 422, "bad_csv", "prompt"),
    (b"prompt,cfg,guidance scale\na,1,1\n", 422, "bad_csv", "guidance"),
    (b"prompt\na \x81\n", 422, "bad_csv", "file"),
    ("prompt\nein B\u00e4r\n".encode() + "ein B\u00e4r\n".encode("cp1252"), 422, "bad_csv", "file"),
    (b"\xff\xfep\x00r\x00o\x00m\x00p\x00t\x00\n\x00\x00\xd8a", 422, "bad_csv", "file"),
    (b"\xd0\xcf\x11\xe0 old Excel", 422, "bad_csv", "file"),
    (b"prompt,seed\na cat, asleep,7\n", 422, "bad_csv", "prompt"),
    (b'prompt\n"never closed\n', 422, "bad_csv", "file"),
    (b"prompt\n" + b"x" * 200_000 + b"\n", 422, "bad_csv", "file"),
    (b"prompt,seed\na,seven\n", 400, "bad_input", "seed"),
    (b"prompt,seed\na,-2\n", 422, "out_of_range", "seed"),
    (b"prompt,steps\na,1\nb,99\n", 422, "out_of_range", "steps"),
    (b"prompt,level\na,best\n", 422, "unknown_level", "level"),
    (b"prompt,seed\n,7\n", 422, "bad_prompt", "prompt"),
    (b"prompt\na\x00b\n", 422, "bad_prompt", "prompt"),
]


@pytest.mark.parametrize(("content", "status", "code", "field"), WRONG, ids=[str(w[0])[:40] for w in WRONG])
def test_a_csv_with_a_fault_is_refused_whole(
    client: FlaskClient, content: bytes, status: int, code: str, field: str
) -> None:
    assert code_and_field(upload(client, content)) == (status, code, field)
    assert rows() == (0, 0)


def test_the_line_at_fault_is_named(client: FlaskClient) -> None:
    answer = upload(client, b"prompt,steps\na,1\n\n\nb,99\n")
    assert answer.get_json()["error"]["message"].startswith("Line 5, column `steps`: ")


def test_a_csv_of_a_million_rows_is_refused_after_the_first_row_too_many(client: FlaskClient) -> None:
    answer = upload(client, b"prompt\n" + b"a cat\n" * 1_000_000)
    assert code_and_field(answer) == (413, "too_large", "file")
    assert rows() == (0, 0)


def test_what_follows_the_first_row_too_many_is_not_read(family: Family) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.taken = offset
            return offset

        def readinto(self, buffer: Any) -> int:
            start = b"prompt\n" if self.taken == 0 else b""
            text = (start + b"a cat\n" * (len(buffer) // 6 + 1))[: len(buffer)]
            buffer[: len(text)] = text
            self.taken += len(text)
            return len(text)

    source = Endless()
    with configured(ARGUS_MAX_FILE_PROMPTS="100"), pytest.raises(TooLarge):
        read_upload(io.BufferedReader(source), "prompts.csv")
    assert source.taken < 100_000


def test_json_lines_are_texts_or_objects(client: FlaskClient) -> None:
    content = b'"a cat"\n\n{"prompt": "a dog", "seed": 3}\n'
    job = upload(client, content, "prompts.jsonl", service_class="interactive").get_json()
    assert (job["size"], job["service_class"], job["requests"][1]["seed"]) == (2, "interactive", 3)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'"a cat"\n{', "file"),
        (b'"a cat"\n[]', None),
        (b'"a"\n{"prompt": "b", "sede": 1}', "sede"),
        (b'"a"\n\x81', "file"),
    ],
)
def test_a_json_line_with_a_fault_is_refused(client: FlaskClient, content: bytes, field: str | None) -> None:
    assert code_and_field(upload(client, content, "p.jsonl"))[2] == field
    assert rows() == (0, 0)


def test_an_upload_without_a_file_says_so(client: FlaskClient) -> None:
    assert code_and_field(client.post("/v1/jobs/csv", data={"title": "x"})) == (400, "bad_input", "file")
    assert code_and_field(client.post("/v1/jobs/csv", json={"prompt": "x"}))[0] == 400


def test_an_empty_file_has_no_prompts(family: Family) -> None:
    with pytest.raises(BadCsv, match="no prompts"):
        read_upload(io.BytesIO(b"\n\n"), "p.jsonl")


def test_a_column_has_the_name_that_people_give_it(client: FlaskClient) -> None:
    content = b"ID,Prompt,Negative Prompt,CFG Scale,Steps,Camera\nsku-1,a cat,blur,7.5,12,Leica\n"
    job = upload(client, content).get_json()
    assert job["ignored_columns"] == ["camera"]
    request = client.get(job["requests"][0]["link"]).get_json()
    assert (request["custom_id"], request["negative_prompt"], request["guidance"], request["steps"]) == (
        *("sku-1", "blur", 7.5, 12),
    )


def test_errors_call_a_column_as_the_file_does(client: FlaskClient) -> None:
    answer = upload(client, b"sep=;\nPrompt;CFG Scale\na cat;99\n")
    assert answer.get_json()["error"]["message"].startswith("Line 3, column `CFG Scale`: ")


def test_cells_of_pandas_are_read(client: FlaskClient) -> None:
    content = b"prompt,seed,steps,guidance,negative_prompt\na,7.0,NaN,,nan\nb,1E+09,12.0,None,\nnan,-1,,<NA>,\n"
    requests = [client.get(r["link"]).get_json() for r in upload(client, content).get_json()["requests"]]
    assert [(r["prompt"], r["seed"], r["steps"], r["guidance"], r["negative_prompt"]) for r in requests[:2]] == [
        ("a", 7, 20, 2.0, ""),
        ("b", 10**9, 12, 2.0, ""),
    ]
    assert (requests[2]["prompt"], requests[2]["seed"] >= 0) == ("nan", True)


def test_quoted_line_breaks_belong_to_the_prompt_and_lines_are_counted_on(client: FlaskClient) -> None:
    good = upload(client, b'prompt,seed\r\n"a cat\r\nasleep",1\r\n').get_json()
    assert client.get(good["requests"][0]["link"]).get_json()["prompt"] == "a cat asleep"
    bad = upload(client, b'prompt,seed\r\n"a cat\r\nasleep",1\r\nb,x\r\n')
    assert bad.get_json()["error"]["message"].startswith("Line 4, column `seed`: ")


def test_what_is_no_utf_8_is_read_as_windows_1252_and_said(client: FlaskClient) -> None:
    job = upload(client, "prompt;seed\nein Bär für 3 €;1\n".encode("cp1252")).get_json()
    assert client.get(job["requests"][0]["link"]).get_json()["prompt"] == "ein Bär für 3 €"
    assert "Windows-1252" in job["notes"][0]


def test_a_text_file_has_a_prompt_a_line(client: FlaskClient) -> None:
    job = upload(client, b"\xef\xbb\xbfa cat, asleep\r\n\r\nprompt\r\n", "prompts.TXT").get_json()
    assert [client.get(r["link"]).get_json()["prompt"] for r in job["requests"]] == ["a cat, asleep", "prompt"]


def test_a_json_list_has_texts_and_objects(client: FlaskClient) -> None:
    content = json.dumps(["a cat", {"prompt": "a dog", "seed": float("nan"), "steps": 5.0, "id": 3}]).encode()
    job = upload(client, content, "prompts.json").get_json()
    assert [row["custom_id"] for row in job["requests"]] == [None, "3"]
    assert client.get(job["requests"][1]["link"]).get_json()["steps"] == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "must be a JSON list"),
        (b"[", "is not JSON"),
        (b'["a", {"prompt": "b", "steps": "many"}]', "Entry 2: "),
        (b'["a", 3]', "Entry 2: "),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "no prompts"),
    ],
)
def test_a_json_list_with_a_fault_is_refused(client: FlaskClient, content: bytes, message: str) -> None:
    assert message in upload(client, content, "prompts.json").get_json()["error"]["message"]
    assert rows() == (0, 0)
