"""The house has floors: a file imports only from floors below its own, and never in a circle.

`cli` starts every process, the web app too; so it stands above `app`.
"""

import ast

import pytest

from bench.house import circles, files, imports
from core.settings import ROOT

# Top floor first; rooms on one floor do not know each other.
FLOORS = (("cli",), ("app",), ("workers",), ("scheduler",), ("families", "traces", "migrations"), ("core",))
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
IMPORTS = imports(ROOT, tuple(FLOOR))


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_file_imports_only_from_its_room_and_from_floors_below(module):
    room = module.partition(".")[0]
    for other in IMPORTS[module]:
        theirs = other.partition(".")[0]
        assert theirs == room or FLOOR[theirs] > FLOOR[room], f"{module} imports {other}"


def test_no_import_goes_in_a_circle():
    assert circles(IMPORTS) == []


def test_no_module_of_ours_is_imported_by_string():
    """Names of strings may be data (a family's pipeline, a command's address): those stay inside their own room."""
    for path in files(ROOT, tuple(FLOOR)):
        room = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                said = ast.unparse(node)
                others = [other for other in FLOOR if other != room and f"{other}." in said]
                assert not others, f"{path}: {said}"
