"""A level that begins at half the size is offered with the subspace that was found for it, and with no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.checked_files import write_checked
from core.errors import BadCalibration, UnknownLevel
from core.families import FAMILIES, Family, load_family
from core.subspaces import FoundFor, SubspaceFile, read_subspace

EMBEDDED = load_family("embedded")


def family_with(folder: Path, file: Path) -> Family:
    """The embedded family, its level sub-5 by this file."""
    path, text = folder / "embedded.toml", (FAMILIES / "embedded.toml").read_text()
    path.write_text(text.replace("families/embedded/subspace/large.json", str(file)))
    return load_family(str(path))


def found(**of: Any) -> SubspaceFile:
    """One of a single channel, for the family that ships where `of` does not say otherwise."""
    now = {"family": "embedded", "family_version": EMBEDDED.version, "width": 256, "height": 256}
    now["autoencoder"] = EMBEDDED.models["large"].autoencoder_sha256
    rows = ((0.5,), (0.5,), (0.5,), (0.5,))
    zeros = (0.0, 0.0, 0.0, 0.0)
    return SubspaceFile(of=FoundFor(**{**now, **of}), made="now", scale=0.5, basis=rows, mean=zeros, small_mean=(0.0,))


def test_the_subspace_that_ships_is_of_the_family_that_ships_and_orthonormal():
    shipped = read_subspace(EMBEDDED.level("sub-5").calibration_location)
    columns = list(zip(*shipped.basis, strict=True))
    products = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in columns] for one in columns]
    assert all(abs(products[i][j] - (i == j)) < 1e-4 for i in range(len(columns)) for j in range(len(columns)))
    assert len(columns) == 32


def test_what_is_written_is_read(tmp_path: Path):
    write_checked(tmp_path / "a.json", found())
    assert read_subspace(tmp_path / "a.json") == found()
    assert "sub-5" in family_with(tmp_path, tmp_path / "a.json").levels


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"family_version": "3"}, "family version 3, not 4"),
        ({"autoencoder": "ab"}, "autoencoder ab, not"),
        ({"width": 128}, "width 128, not 256"),
        ({"family": "sdxl"}, "family sdxl, not embedded"),
    ],
)
def test_a_level_whose_subspace_is_of_something_else_is_not_offered_and_says_why(tmp_path: Path, of: Any, says: str):
    write_checked(tmp_path / "a.json", found(**of))
    family = family_with(tmp_path, tmp_path / "a.json")
    assert says in family.withheld["sub-5"]
    with pytest.raises(UnknownLevel, match="does not offer level 'sub-5'"):
        family.level("sub-5")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:-40], "is damaged"),
        (lambda text: text.replace('"scale": 0.5', '"scale": 0.6'), "expected SHA-256"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "of another version of the file"),
    ],
)
def test_a_truncated_or_changed_subspace_is_not_used(tmp_path: Path, spoil: Any, says: str):
    path = tmp_path / "a.json"
    write_checked(path, found())
    path.write_text(spoil(path.read_text()))
    assert says in family_with(tmp_path, path).withheld["sub-5"]
    assert "No such file" in family_with(tmp_path, tmp_path / "none.json").withheld["sub-5"]


def test_a_subspace_whose_shapes_do_not_fit_is_refused(tmp_path: Path):
    write_checked(tmp_path / "a.json", found().model_copy(update={"basis": ((0.5,), (0.5,))}))
    with pytest.raises(BadCalibration, match="basis and mean must have 4 rows"):
        read_subspace(tmp_path / "a.json")
