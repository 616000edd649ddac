"""The documents as a site that a stranger reads in order: every link and anchor leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.families import Family
from core.settings import ROOT

CONFIG = (ROOT / "properdocs.yml").read_text()
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def in_order(entries: list[Any]) -> Iterator[str]:
    """The pages of the site, first to last."""
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else in_order(value)


READ = list(in_order(yaml.safe_load(CONFIG)["nav"]))


def build(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "-f", str(config), "-d", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = build(ROOT / "properdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    first = (tmp_path / "site" / "index.html").read_text()
    assert "The first hour" in first
    loaded = re.findall(r'<(?:script|img)[^>]+src="(https?:[^"]+)"|<link[^>]+href="(https?:[^"]+)"', first)
    assert loaded == []  # nothing from elsewhere


@pytest.mark.parametrize("wrong", ["[a](b.md)", "[a](index.md#nowhere)"])
def test_a_link_that_leads_nowhere_fails(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Here\n\n{wrong}\n")
    made = re.sub(r"nav:\n.*", "nav: [index.md]\n", CONFIG.replace("hooks: [bench/site_links.py]\n", ""), flags=re.S)
    config = tmp_path / "properdocs.yml"
    config.write_text(made)
    done = build(config, tmp_path / "site")
    assert done.returncode != 0


def anchors(page: Path) -> set[str]:
    """Headings as GitHub and the site name them."""
    found, inside = set(), False
    for line in page.read_text().splitlines():
        inside ^= line.startswith("```")
        if not inside and (heading := re.match(r"#+ (.+)", line)):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            found.add(re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_that_a_page_links_to_are_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        assert anchor in anchors(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("name", [name for name in READ if name != "decisions/README.md"])
def test_each_page_begins_with_what_one_can_do_after_it(name: str) -> None:
    lines = (DOCS / name).read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("After this page "), lines[2][:80]


def test_every_page_is_in_the_site() -> None:
    there = {str(path.relative_to(DOCS)) for path in DOCS.glob("*.md")}
    assert there == {name for name in READ if "/" not in name}


def test_the_family_on_the_page_of_your_model_can_be_read() -> None:
    told = re.search(r"```toml\n(.*?)```", (DOCS / "your-model.md").read_text(), re.DOTALL)
    assert told
    data = tomllib.loads(told[1])
    for section in ("models", "levels"):
        for key, entry in data[section].items():
            entry["id"] = key
    family = Family(**data)
    assert family.levels[family.reference].strategy == "exact"
