"""Known holes in the pinned packages, as pip-audit finds them where a source of advisories can be reached.

`python -m bench.advisories` ends with status 1 when a pinned version has one. Where no source answers, it says so and
ends with 0: a machine without network must be able to `make check`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from core.settings import ROOT

PATIENCE_S = 90.0
PIP_AUDIT = [sys.executable, "-m", "pip_audit"]
OPTIONS = ["--format", "json", "--progress-spinner", "off", "--timeout", "10", "--disable-pip", "--no-deps"]


def audit(command: list[str] = PIP_AUDIT, patience_s: float = PATIENCE_S) -> tuple[int, str]:
    """Ask about every pinned package; returns the exit status and what to say."""
    words = [*command, *OPTIONS, "--requirement", str(ROOT / "constraints.txt")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=patience_s)
        return judge(json.loads(done.stdout)["dependencies"])
    except subprocess.TimeoutExpired:
        return 0, f"Packages are not checked for known holes: no source of advisories answered in {patience_s:g} s."
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return 0, f"Packages are not checked for known holes: {reason[:200]}"


def judge(packages: list[dict[str, Any]]) -> tuple[int, str]:
    """Exit status and words for what pip-audit found of each package."""
    asked = [package for package in packages if "skip_reason" not in package]
    holes = [f"{p['name']} {p['version']}: {hole['id']}" for p in asked for hole in p["vulns"]]
    if holes:
        return 1, "\n".join(["Known holes in pinned packages; raise their versions:", *sorted(holes)])
    if not asked:
        return 0, "Packages are not checked for known holes: no source of advisories knows any of them."
    left = f"; of {len(packages) - len(asked)} nothing is known" if len(asked) < len(packages) else ""
    return 0, f"No known holes in {len(asked)} pinned packages{left}."


if __name__ == "__main__":
    status, words = audit()
    print(words)
    sys.exit(status)
