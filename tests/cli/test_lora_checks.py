"""What `argus doctor` says of the LoRAs that a family file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cli.checks import setup
from cli.doctor import findings
from core.loras import _sha256
from tests.app.conftest import FAMILY, configured

LORA = """
[loras.ink]
path = "{file}"
models = ["large"]
"""


@pytest.fixture
def told(tmp_path: Path):
    """The findings about the LoRA of a family, given lines more about it."""

    def of(more: str = "") -> list[tuple[bool, str]]:
        text = FAMILY.replace("embedded-unet", "stable-diffusion") + LORA.format(file=tmp_path / "ink.safetensors")
        (tmp_path / "paper.toml").write_text(text + more)
        with configured(ARGUS_FAMILY=str(tmp_path / "paper.toml")):
            return [(finding.ok, finding.text) for finding in findings({"LoRAs": setup.loras})]

    return of


def test_a_file_that_is_not_there_or_cut_short_is_wrong(told, tmp_path: Path) -> None:
    assert told()[0][0] is False
    file = tmp_path / "ink.safetensors"
    save_file({"a.lora_A.weight": np.zeros((4, 4), np.float32)}, file)
    assert told() == [(True, f"{file}: whole, no checksum named")]
    file.write_bytes(file.read_bytes()[:-1])
    ((ok, text),) = told()
    assert not ok
    assert "lora_damaged" in text


def test_a_checksum_that_is_named_is_compared(told, tmp_path: Path) -> None:
    file = tmp_path / "ink.safetensors"
    save_file({"a.lora_A.weight": np.zeros((4, 4), np.float32)}, file)
    assert told(f'sha256 = "{_sha256(file)}"')[0] == (True, f"{file}: whole, checksum as named")
    ((ok, text),) = told(f'sha256 = "{"0" * 64}"')
    assert not ok
    assert "has the SHA-256" in text


def test_a_family_without_loras_has_nothing_to_say_of_them(tmp_path: Path) -> None:
    (tmp_path / "paper.toml").write_text(FAMILY)
    with configured(ARGUS_FAMILY=str(tmp_path / "paper.toml")):
        assert list(findings({"LoRAs": setup.loras})) == []
