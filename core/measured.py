"""Where what was measured lies: profiles, quality tables, predictors, in a folder a family.

Files measured on this host (`home`/profiles) win over those that came with Argus (`profiles/`).
"""

from __future__ import annotations

import os
from pathlib import Path

from core.settings import CHECKOUT, ROOT, settings

SHIPPED = ROOT / "profiles"


def measured_file(family_id: str, name: str) -> Path:
    """Where a file is read: this host's own, else the one that came with Argus (which need not exist)."""
    own = settings().home / "profiles" / family_id / name
    return own if own.is_file() else SHIPPED / family_id / name


def measured_files(family_id: str, pattern: str) -> list[Path]:
    """Every file of a family that the pattern matches, by name; this host's own before those that came with Argus."""
    folders = (SHIPPED / family_id, settings().home / "profiles" / family_id)
    return sorted({file.name: file for folder in folders for file in folder.glob(pattern)}.values())


def measured_target(family_id: str, name: str) -> Path:
    """Where a new measurement is written: into a checkout, to be committed; else for this host alone."""
    own = CHECKOUT and os.access(SHIPPED, os.W_OK)
    return (SHIPPED if own else settings().home / "profiles") / family_id / name
