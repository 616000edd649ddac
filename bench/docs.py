"""Pages of docs/ that are made from the code: settings, errors.

`python -m bench.docs` writes them, `--check` says (exit status 1) which differ from what the code says now.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.errors import kinds
from core.settings import PREFIX, ROOT, Settings


def settings_page() -> str:
    """Every setting with default and meaning."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = default.relative_to(ROOT) if isinstance(default, Path) else default
        lines.append(f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if str(shown) else ''} | {field.description} |")
    head = "Settings are environment variables. An unknown one, or a malformed value, stops start-up with its name."
    return _page("Settings", head, lines, "core/settings.py")


def errors_page() -> str:
    """Every error with code, status and what to do."""
    lines = ["| code | HTTP status | what to do |", "| --- | --- | --- |"]
    lines += [f"| `{kind.code}` | {kind.status} | {kind.help} |" for kind in sorted(kinds(), key=lambda k: k.code)]
    head = (
        'An error is answered as `{"error": {"code", "message", "field"}}`; the code is stable, the message may change.'
    )
    return _page("Errors", head, lines, "core/errors.py")


def _page(title: str, head: str, lines: list[str], source: str) -> str:
    return "\n".join([f"# {title}", "", head, f"Made from `{source}` by `make docs`.", "", *lines, ""])


PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def outdated(folder: Path = ROOT / "docs") -> list[str]:
    """Names of pages that differ from what the code says."""
    return [
        name for name, page in PAGES.items() if not (folder / name).is_file() or (folder / name).read_text() != page()
    ]


def main(argv: list[str]) -> int:
    """Write the pages, or with `--check` only compare; returns the exit status."""
    if argv == ["--check"]:
        for name in (wrong := outdated()):
            print(f"docs/{name} differs from the code: run `make docs`.")
        return 1 if wrong else 0
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
