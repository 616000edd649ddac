"""The code in figures: lines a file, a class and a function, and which room imports which.

    python -m bench.house [FOLDER]       a checkout of any age; this one by default

A room is a folder of the top level. Migrations are left out, and so are tests unless asked for. The length of a class
or function is counted from `class` or `def` to its last line, without decorators.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.settings import ROOT

ROOMS = ("cli", "app", "workers", "scheduler", "families", "traces", "core", "bench")
MOST = {"files": 350, "classes": 150, "functions": 45}  # lines
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Part:
    """A file, class or function: where it is and how many lines it has."""

    place: str
    lines: int


def files(root: Path, rooms: Sequence[str] = ROOMS) -> list[Path]:
    """Every Python file of the rooms."""
    return [path for room in rooms for path in sorted((root / room).rglob("*.py"))]


def parts(root: Path, rooms: Sequence[str] = ROOMS) -> dict[str, tuple[list[Part], int]]:
    """Files that are not empty, classes and functions (`path:name`), and the most lines each kind may have."""
    found: dict[str, list[Part]] = {"files": [], "classes": [], "functions": []}
    for path in files(root, rooms):
        text, place = path.read_text(), str(path.relative_to(root))
        if text.strip():
            found["files"].append(Part(place, len(text.splitlines())))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Definition):
                kind = "classes" if isinstance(node, ast.ClassDef) else "functions"
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                found[kind].append(Part(f"{place}:{node.name}", lines))
    return {kind: (found[kind], most) for kind, most in MOST.items()}


def too_long(root: Path, rooms: Sequence[str] = ROOMS) -> set[str]:
    """Files, classes and functions over their limit."""
    return {part.place for some, most in parts(root, rooms).values() for part in some if part.lines > most}


def imports(root: Path, rooms: Sequence[str] = ROOMS) -> dict[str, set[str]]:
    """The modules of this repository that each imports, anywhere in its file: in functions and for types too."""
    paths = {_module(root, path): path for path in files(root, rooms)}
    return {module: set(_imported(path, set(paths))) - {module} for module, path in paths.items()}


def _module(root: Path, path: Path) -> str:
    names = path.relative_to(root).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def _imported(path: Path, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            yield from submodules
            if len(submodules) < len(node.names):
                yield node.module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach = {module: _reachable(graph, module) for module in graph}
    groups = {frozenset(other for other in reach[m] if m in reach[other]) for m in graph if m in reach[m]}
    return sorted(sorted(group) for group in groups)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph[module]
    return found


def rooms_imported(graph: dict[str, set[str]]) -> Counter[tuple[str, str]]:
    """How many files of a room import another room."""
    found: Counter[tuple[str, str]] = Counter()
    for module, others in graph.items():
        room = module.partition(".")[0]
        found.update((room, other) for other in {name.partition(".")[0] for name in others} - {room})
    return found


def report(root: Path) -> Iterator[str]:
    """The lines that are printed."""
    for what, (some, most) in parts(root).items():
        counts = [part.lines for part in some]
        over = sum(count > most for count in counts)
        yield (
            f"{what}: {len(counts)}, {sum(counts):,} lines, median {statistics.median(counts):g}, "
            f"longest {max(counts)}, over {most}: {over}"
        )
        for part in sorted(some, key=lambda part: -part.lines)[:5]:
            yield f"  {part.lines:5}  {part.place}"
    yield "files a folder:"
    folders = Counter(str(path.parent.relative_to(root)) for path in files(root))
    yield from (f"  {count:5}  {folder}" for folder, count in sorted(folders.items()))
    yield "rooms and the rooms they import (files that do):"
    graph = imports(root)
    found = rooms_imported(graph)
    for room in ROOMS:
        others = ", ".join(f"{other} ({found[room, other]})" for other in ROOMS if found[room, other])
        yield f"  {room:10} → {others or 'none'}"
    yield "files that import each other:"
    yield from (f"  {' ↔ '.join(group)}" for group in circles(graph) or [["none"]])


def main(argv: list[str]) -> None:
    """Print the report of a checkout."""
    print("\n".join(report(Path(argv[0]).resolve() if argv else ROOT)))


if __name__ == "__main__":
    main(sys.argv[1:])
