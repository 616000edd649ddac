"""What a leader goes by where nobody named a mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import settings
from workers.gangs.leading import _measured


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARGUS_HOME", str(tmp_path))
    settings.cache_clear()
    path = tmp_path / "profiles" / "none" / "parallel" / "cpu.json"
    path.parent.mkdir(parents=True)
    yield path
    settings.cache_clear()


@pytest.mark.parametrize("text", ["{", '{"modes": 3}', '{"modes": [{"model": "large"}]}'])
def test_a_damaged_file_is_as_none_and_costs_nobody_a_worker(file: Path, text: str):
    file.write_text(text)
    assert _measured("none", "cpu") == ()
