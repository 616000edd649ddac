"""SHA-256 of every weight file, written by the recipe and checked before anything is loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from core.errors import WeightsDamaged

LIST = "checksums.json"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(root: Path) -> None:
    """Write `root/checksums.json`: path below `root` → SHA-256, for every file there."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != LIST)
    sums = {path.relative_to(root).as_posix(): digest(path) for path in files}
    (root / LIST).write_text(json.dumps(sums, indent=1) + "\n")


def verify(folder: Path) -> None:
    """Check the files of a model folder by the list beside it; raise `WeightsDamaged` at the first that differs."""
    root = folder.parent
    listed = _listed(root / LIST) if (root / LIST).exists() else {}
    expected = {name: checksum for name, checksum in listed.items() if name.startswith(f"{folder.name}/")}
    if not expected:
        raise WeightsDamaged(f"{folder}: no checksums for it in {root / LIST}. Train it or restore the file.")
    for name, checksum in expected.items():
        path = root / name
        if not path.is_file():
            raise WeightsDamaged(f"{path} is missing (expected SHA-256 {checksum}). Restore it.")
        if (found := digest(path)) != checksum:
            raise WeightsDamaged(f"{path} is damaged: expected SHA-256 {checksum}, found {found}. Restore it.")


def _listed(path: Path) -> dict[str, str]:
    """The list of a family's files; raises `WeightsDamaged`."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsDamaged(f"{path} is damaged: {error}. Restore it.") from error
    if not isinstance(listed, dict):
        raise WeightsDamaged(f"{path} is damaged: no list of files. Restore it.")
    return listed
