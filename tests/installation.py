"""Argus as a user gets it: a wheel built from this tree, installed where no checkout is, on the tests' own packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from core.settings import ROOT

ROOMS = ("app", "cli", "core", "families", "migrations", "profiles", "scheduler", "traces", "workers")
FILES = ("LICENSE", "README.md", "pyproject.toml")
NOT_SHIPPED = ("__pycache__", "data", "runs")  # what lies in a tree that was worked with
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Installation:
    """An environment that has Argus from its wheel. `argus` is the command."""

    wheel: Path
    argus: Path
    packages: Path


def install(folder: Path) -> Installation:
    """Build the wheel from a copy of the tree (a build leaves files behind) and install it into a new environment."""
    source = folder / "source"
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    _call(*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(source)
    home = folder / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    packages = Path(_call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Folders named by a .pth file are searched, but .pth files in them are not read: the checkout's own stays out.
    ours = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    (packages / "tests.pth").write_text("\n".join(ours) + "\n")
    _call(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel)
    return Installation(wheel, home / "bin" / "argus", packages)


def _call(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
