"""`python -m bench.large` in small: everything is asked, nothing fails, and the page says what was measured."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from bench.large.__main__ import main
from bench.large.plans import PAIRS


def test_a_small_database_is_filled_and_asked_everything(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.large.asking.CALLS", 2)
    done = CliRunner().invoke(main, ["--rows", "3000"], catch_exceptions=False)
    assert done.exit_code == 0
    for address in ("/metrics", "/gallery", "/v1/jobs?page=100&per_page=100", "SELECT * FROM report_level"):
        assert f"`{address}" in done.output
    assert all(name in done.output for name in PAIRS)
    assert done.output.count("-- before:") == done.output.count("-- after:") == len(PAIRS)
