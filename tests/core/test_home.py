"""The home folder is for its owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.home import make_private


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_that_argus_makes_and_all_that_comes_into_it_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    make_private(home, None)
    (home / "images").mkdir()
    (home / "images" / "a.png").write_bytes(b"x")
    assert (mode(home), mode(home / "images"), mode(home / "images" / "a.png")) == (0o700, 0o700, 0o600)


def test_folders_of_an_earlier_version_are_closed_and_a_home_made_by_others_keeps_its_mode(tmp_path: Path) -> None:
    for name in ("images", "logs", "run", "postgres"):
        (tmp_path / name).mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    make_private(tmp_path, None)
    assert mode(tmp_path) == 0o755
    assert {mode(path) for path in tmp_path.iterdir()} == {0o700}


def test_the_default_home_is_closed_also_where_it_was_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("core.home.default_home", lambda: tmp_path)
    tmp_path.chmod(0o755)
    make_private(tmp_path, None)
    assert mode(tmp_path) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to other groups")
def test_the_id_of_postgresql_may_pass_and_not_look(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_private(home, 61000)
    assert (mode(home), home.stat().st_uid, home.stat().st_gid) == (0o710, 0, 61000)
