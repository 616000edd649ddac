"""Files, classes and functions stay short enough to be read at once; the figures are those of `make house`."""

from bench.house import MOST, ROOMS, circles, imports, parts, too_long
from core.settings import ROOT


def test_no_file_class_or_function_is_too_long():
    assert sorted(too_long(ROOT, (*ROOMS, "tests"))) == []


def test_the_limits_see_what_is_too_long(tmp_path):
    long = "\n".join(f"    x = {i}" for i in range(MOST["functions"]))
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text(f"class Short:\n    y = 1\n\n\ndef long():\n{long}\n")
    (tmp_path / "core" / "b.py").write_text("x = 1\n" * (MOST["files"] + 1))
    assert too_long(tmp_path) == {"core/a.py:long", "core/b.py"}
    assert [len(some) for some, _ in parts(tmp_path).values()] == [2, 1, 1]


def test_a_circle_is_found_also_when_an_import_stands_in_a_function(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    (tmp_path / "core" / "a.py").write_text("from core import b\n")
    (tmp_path / "core" / "b.py").write_text("def late():\n    from core.c import x\n")
    (tmp_path / "core" / "c.py").write_text("from core.a import y\n")
    (tmp_path / "core" / "d.py").write_text("import core.a\n")
    assert circles(imports(tmp_path)) == [["core.a", "core.b", "core.c"]]
