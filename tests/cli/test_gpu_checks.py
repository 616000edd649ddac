"""What `argus doctor` says of GPUs, from recorded answers of `nvidia-smi`: a program of that name gives them again."""

from __future__ import annotations

import os

import pytest

from cli.checks import gpus
from core import devices
from core.settings import settings

H100 = "0, GPU-ccbba003-a4b1-d8fd-d5c5-4495d16f2dac, NVIDIA H100 80GB HBM3, 580.159.04, 81559, {used}, 9.0, {mig}\n"
T4 = "1, GPU-33333333-4444, Tesla T4, 580.159.04, 15360, 3, 7.5, [N/A]\n"
LIST = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-ccbba003-a4b1-d8fd-d5c5-4495d16f2dac)\n"
SLICES = """\
  MIG 3g.40gb     Device  0: (UUID: MIG-aaaa)
  MIG 1g.10gb     Device  1: (UUID: MIG-bbbb)
"""
OTHER = "GPU-ccbba003-a4b1-d8fd-d5c5-4495d16f2dac, {pid}, /usr/bin/python3, {used}\n"


@pytest.fixture
def smi(monkeypatch, tmp_path):
    """Install an `nvidia-smi` that answers so; the settings are read anew."""

    def install(cards=H100.format(used=0, mig="Disabled"), running="", listed=LIST, **changes):
        for name, text in (("cards", cards), ("running", running), ("listed", listed)):
            (tmp_path / name).write_text(text)
        tool = tmp_path / "nvidia-smi"
        tool.write_text(
            f'#!/bin/sh\ncase "$1" in --query-gpu=*) cat {tmp_path}/cards;; '
            f"--query-compute-apps=*) cat {tmp_path}/running;; -L) cat {tmp_path}/listed;; *) exit 9;; esac\n"
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        for name, value in {"ARGUS_FAMILY": "embedded", **changes}.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield install
    monkeypatch.undo()
    settings.cache_clear()


def said():
    return {finding.subject: finding for finding in gpus.gpu()}


def test_a_gpu_is_told_with_its_driver_memory_and_capability_and_what_the_family_needs(smi):
    smi()
    found = said()
    assert found["GPU 0"].text == (
        "NVIDIA H100 80GB HBM3, driver 580.159.04, 85.5 GB, 0.0 in use, compute capability 9.0"
    )
    assert found["family embedded"].ok
    assert "large 0.0 GB" in found["family embedded"].text
    assert all(finding.ok for finding in found.values())


def test_a_program_that_holds_most_of_the_memory_is_wrong_one_that_leaves_enough_is_named(smi):
    smi(H100.format(used=60000, mig="Disabled"), OTHER.format(pid=1, used=60000))
    assert not said()["GPU 0 others"].ok
    assert "/usr/bin/python3 (pid 1, 62.9 GB)" in said()["GPU 0 others"].text
    smi(H100.format(used=900, mig="Disabled"), OTHER.format(pid=1, used="[N/A]"))
    assert said()["GPU 0 others"].ok


def test_a_gpu_without_room_for_any_model_is_wrong_and_what_would_fit_is_named(smi):
    smi(T4, ARGUS_FAMILY="flux")
    family = said()["family flux"]
    assert not family.ok
    assert "No model of family 'flux' fits into 12.9 GB: the smallest, " in family.text
    assert "family sd15" in family.text
    assert "family embedded" in family.text
    assert "family flux" not in family.text.partition("What would fit")[2]


def test_models_that_do_not_fit_are_named_beside_those_that_do(smi):
    smi(ARGUS_FAMILY="sdxl", ARGUS_MEMORY_MB="6000")
    assert not said()["family sdxl"].ok
    smi(ARGUS_FAMILY="sdxl", ARGUS_MEMORY_MB="60000")
    assert said()["family sdxl"].ok


@pytest.mark.parametrize(
    ("value", "ok", "text"),
    [
        ("0", True, "0: Argus uses 1 of 0, 1"),
        ("GPU-ccbb", True, "GPU-ccbb"),
        ("2", False, "names 2, which is not here: unset it, or name of 0, 1"),
        ("", True, "is empty: workers use the CPU"),
    ],
)
def test_what_cuda_visible_devices_leaves_is_said(smi, value, ok, text):
    smi(H100.format(used=0, mig="Disabled") + T4, CUDA_VISIBLE_DEVICES=value)
    finding = said()["CUDA_VISIBLE_DEVICES"]
    assert finding.ok == ok
    assert text in finding.text


def test_slices_of_a_gpu_are_devices_and_a_gpu_cut_into_none_is_wrong(smi):
    smi(H100.format(used=0, mig="Enabled"), listed=LIST + SLICES)
    found = said()
    assert found["GPU 0 MIG"].text == "on: each of 3g.40gb, 1g.10gb is a device"
    assert "32.0 GB for weights" in found["family embedded"].text
    assert devices.visible_gpus() == ["MIG-aaaa", "MIG-bbbb"]
    smi(H100.format(used=0, mig="Enabled"), listed=LIST)
    assert not said()["GPU 0 MIG"].ok


def test_a_driver_that_does_not_answer_is_wrong(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    (finding,) = gpus.gpu()
    assert not finding.ok
