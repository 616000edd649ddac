"""Calibration files: JSON with a version and its own checksum, so that what is used is what was written."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import BadCalibration
from core.refusals import first_place, first_refusal

VERSION = 1
T = TypeVar("T", bound=BaseModel)


def write_checked(path: Path, found: BaseModel) -> None:
    """Write it with its checksum, whole or not at all."""
    content = found.model_dump(mode="json")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps({"sha256": _digest(content), **content}) + "\n", encoding="utf-8")
    partial.replace(path)


def read_checked(path: str | Path, kind: type[T]) -> T:
    """What a file of this kind holds; raises `BadCalibration` where there is none, or not what was written."""
    try:
        found: T = _read(str(path), Path(path).stat().st_mtime_ns, kind)
    except OSError as error:
        raise BadCalibration(f"calibration {path}: {error.strerror or error}") from error
    return found


def changed_at(path: Path) -> int:
    """When a file was written last, in the system's nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _read(path: str, _changed: int, kind: type[BaseModel]) -> Any:
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadCalibration(f"calibration {path} is damaged: {error}") from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise BadCalibration(f"calibration {path} is of another version of the file, not {VERSION}")
    expected = data.pop("sha256", None)
    if (found := _digest(data)) != expected:
        raise BadCalibration(f"calibration {path} is damaged: expected SHA-256 {expected}, found {found}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        place = first_place(error, "content")
        raise BadCalibration(f"calibration {path}: {place}: {first_refusal(error)}", field=place) from error


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
