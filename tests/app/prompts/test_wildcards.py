"""Wildcards are files of one folder, and of no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.prompts.wildcards import lines_of
from core.errors import BadPrompt
from tests.app.conftest import configured


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    inside = tmp_path / "wildcards"
    (inside / "animals").mkdir(parents=True)
    (inside / "animals" / "cats.txt").write_text("\ufeff# of the house\ntabby\n\n  siamese \r\n")
    (tmp_path / "secret.txt").write_text("a password")
    with configured(ARGUS_WILDCARDS=str(inside)):
        yield inside


def test_lines_are_choices_without_comments_and_blanks(folder: Path) -> None:
    assert lines_of("animals/cats").texts == ["tabby", "siamese"]


def test_patterns_take_the_lines_of_all_files_they_name_each_once(folder: Path) -> None:
    (folder / "animals" / "dogs.txt").write_text("2::spitz\ntabby\n")
    (folder / "animals" / "far" / "away").mkdir(parents=True)
    (folder / "animals" / "far" / "away" / "cats.txt").write_text("lynx")
    (folder / ".git").mkdir()
    (folder / ".git" / "cats.txt").write_text("hidden")
    assert lines_of("animals/*").texts == ["tabby", "siamese", "spitz", "lynx"]
    assert lines_of("animals/*").each() == [1, 1, 2, 1]
    assert lines_of("*/cats").texts == lines_of("**/cats").texts == ["tabby", "siamese", "lynx"]
    assert lines_of("animals/?ogs").texts == ["spitz", "tabby"]


def test_a_name_is_looked_for_below_all_folders_if_it_is_not_at_the_top(folder: Path) -> None:
    assert lines_of("cats").texts == ["tabby", "siamese"]
    (folder / "cats.txt").write_text("manx")
    assert lines_of("cats").texts == ["manx"]


def test_all_files_of_a_pattern_together_have_a_bound(folder: Path) -> None:
    for name in "abc":
        (folder / f"many-{name}.txt").write_text(name * 1_500_000)
    with pytest.raises(BadPrompt, match="MB"):
        lines_of("many-*")


def test_a_file_that_changed_is_read_again(folder: Path) -> None:
    (folder / "one.txt").write_text("before")
    assert lines_of("one").texts == ["before"]
    (folder / "one.txt").write_text("after")
    os.utime(folder / "one.txt", (1, 1))
    assert lines_of("one").texts == ["after"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "animals/../../secret",
        "/etc/passwd",
        "..",
        ".hidden",
        "animals",
        "animals/",
        "a" * 300,
        "~root",
        "*secret",
        "*/../../*",
        "..*",
    ],
)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    (folder / ".hidden.txt").write_text("x")
    with pytest.raises(BadPrompt, match="There is no wildcard"):
        lines_of(name)


def test_no_link_leads_out_of_it_either(folder: Path) -> None:
    (folder / "linked.txt").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(BadPrompt, match="There is no wildcard"):
        lines_of("linked")


def test_an_unknown_one_names_the_setting_and_those_there_are(folder: Path) -> None:
    for name in ("dogs", "dogs/*", "no*where"):
        with pytest.raises(BadPrompt, match=r"ARGUS_WILDCARDS.*animals/cats"):
            lines_of(name)


def test_without_a_folder_the_setting_is_named(tmp_path: Path) -> None:
    with configured(ARGUS_WILDCARDS=str(tmp_path / "none")), pytest.raises(BadPrompt, match="ARGUS_WILDCARDS"):
        lines_of("cats")


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "no line"), (b"# only\n", "no line"), (b"caf\xe9", "UTF-8"), (b"x" * 5_000_000, "MB")]
)
def test_a_file_that_cannot_be_used_says_why(folder: Path, content: bytes, why: str) -> None:
    (folder / "odd.txt").write_bytes(content)
    with pytest.raises(BadPrompt, match=why):
        lines_of("odd")
