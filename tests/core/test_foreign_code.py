"""Nothing that Argus reads may run code: no pickles, no code of a model's repository, JSON in messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.celery import celery_app
from core.settings import ROOT

ROOMS = ("app", "cli", "core", "families", "migrations", "scheduler", "traces", "workers")
MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec"}
TRUSTING = ("allow_pickle", "trust_remote_code")


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and kind of whatever could run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in CALLS or (called == "torch.load" and given.get("weights_only") != "True"):
                yield node.lineno, called
            yield from (
                (node.lineno, name) for name in ("allow_pickle", "trust_remote_code") if given.get(name) == "True"
            )


def test_no_room_loads_what_can_run():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 200
    found = {str(path.relative_to(ROOT)): list(dangers(ast.parse(path.read_text()))) for path in files}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "eval(text)",
    ],
)
def test_what_can_run_is_seen(code: str):
    assert len(list(dangers(ast.parse(code)))) == 1
    assert list(dangers(ast.parse("torch.load(path, weights_only=True); model.eval()"))) == []


def test_messages_are_json(services):
    conf = celery_app().conf
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")


def test_weights_of_the_hub_are_safetensors():
    assert "use_safetensors=True" in Path(ROOT / "workers" / "pipelines" / "hub.py").read_text()
