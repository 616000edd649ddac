"""Files of prompts: CSV and JSON lines."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.uploads import read_csv, read_upload
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
    [b"\xef\xbb\xbfprompt\na cat\n", b"prompt;seed\na cat;1\n", b"seed\tprompt\r\n1\ta cat\r\n", b"prompt\na cat"],
    ids=["byte order mark", "semicolons", "tabs", "no last line break"],
)
def test_what_spreadsheets_write_is_read(content: bytes, family: Family) -> None:
    assert [p.prompt for p in read_csv(io.BytesIO(content)).prompts] == ["a cat"]


WRONG = [
    (b"text\na cat\n", 422, "bad_csv", "prompt"),
    (b"", 422, "bad_csv", "prompt"),
    (b"prompt\n", 422, "bad_csv", "file"),
    (b"prompt,prompt\na,b\n", 422, "bad_csv", "prompt"),
    (b"prompt\na caf\xe9\n", 422, "bad_csv", "file"),
    ("prompt\na cat\n".encode("utf-16"), 422, "bad_csv", "file"),
    (b"prompt,seed\na cat, asleep,7\n", 422, "bad_csv", "prompt"),
    (b'prompt\n"never closed\n', 422, "bad_csv", "file"),
    (b"prompt\n" + b"x" * 200_000 + b"\n", 422, "bad_csv", "file"),
    (b"prompt,seed\na,seven\n", 400, "bad_input", "seed"),
    (b"prompt,seed\na,-2\n", 422, "out_of_range", "seed"),
    (b"prompt,guidance\na,nan\n", 422, "out_of_range", "guidance"),
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
    assert answer.get_json()["error"]["message"].startswith("Line 5: ")


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
    with configured(ARGUS_MAX_PROMPTS="100"), pytest.raises(TooLarge):
        read_csv(io.BufferedReader(source))
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
        (b'"a"\n\xff', "file"),
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
