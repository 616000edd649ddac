"""What signs cookies: the setting, or a file of its own."""

from pathlib import Path

from core.settings import settings
from core.web_secret import web_secret
from tests.conftest import environment


def secret_with(**values: str) -> str:
    with environment(values):
        settings.cache_clear()
        try:
            return web_secret()
        finally:
            settings.cache_clear()


def test_a_secret_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    first = secret_with(ARGUS_HOME=str(tmp_path))
    assert len(first) > 40
    assert secret_with(ARGUS_HOME=str(tmp_path)) == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert secret_with(ARGUS_HOME=str(tmp_path / "other")) != first


def test_the_setting_comes_first(tmp_path: Path) -> None:
    assert secret_with(ARGUS_HOME=str(tmp_path), ARGUS_SECRET="mine") == "mine"
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_it_lasts_as_long_as_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "below")
    assert secret_with(ARGUS_HOME=home) != secret_with(ARGUS_HOME=home)
