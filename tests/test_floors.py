"""The house has floors: a file imports only from floors below its own, and never in a circle.

`cli` starts every process, the web app too; so it stands above `app`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import ROOT

# Top floor first; rooms on one floor do not know each other.
FLOORS = (("cli",), ("app",), ("workers",), ("scheduler",), ("families", "traces", "migrations"), ("core",))
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = [path for room in FLOOR for path in sorted((ROOT / room).rglob("*.py"))]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(path: Path) -> Iterator[str]:
    """Modules of this repository that a file imports anywhere: at its top, in functions, for types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES
            yield from submodules
            if len(submodules) < len(node.names):
                yield node.module


IMPORTS = {module_of(path): set(imported(path)) - {module_of(path)} for path in FILES}


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_file_imports_only_from_its_room_and_from_floors_below(module):
    room = module.partition(".")[0]
    for other in IMPORTS[module]:
        theirs = other.partition(".")[0]
        assert theirs == room or FLOOR[theirs] > FLOOR[room], f"{module} imports {other}"


def test_no_import_goes_in_a_circle():
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for other in sorted(IMPORTS[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(IMPORTS):
        visit(module, ())


def test_no_module_of_ours_is_imported_by_string():
    """Names of strings may be data (a family's pipeline, a command's address): those stay inside their own room."""
    for path in FILES:
        room = module_of(path).partition(".")[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                said = ast.unparse(node)
                others = [other for other in FLOOR if other != room and f"{other}." in said]
                assert not others, f"{path}: {said}"
