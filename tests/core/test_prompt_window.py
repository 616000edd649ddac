"""What an encoder reads of a prompt is told by its own tokenizer, without torch, and read by whoever judges it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.families import load_family
from core.prompt_window import PromptWindow, read_by, window_of, window_of_model
from core.text import TOKENS, shared_encoder
from scheduler.prediction.features import Features
from tests.workers.toys import Toys
from workers.pipelines.letter_tokenizers import clip_tokenizer

LONG = "a " + "very " * 40 + "red apple"


def embedded() -> PromptWindow:
    found = window_of(load_family("embedded"))
    assert found is not None
    return found


def test_a_prompt_longer_than_the_window_says_how_many_tokens_are_not_read() -> None:
    assert embedded().truncated([LONG, "a red apple", ""]) == [43 + 2 - TOKENS, 0, 0]


def test_what_is_read_ends_with_the_last_token_that_the_encoder_sees() -> None:
    assert embedded().read([LONG, "a red apple"]) == [("a " + "very " * 21).strip(), "a red apple"]


@given(st.text(max_size=300))
def test_the_encoder_sees_the_same_of_what_is_read_as_of_the_whole(prompt: str) -> None:
    window = embedded()
    (read,) = window.read([prompt])
    whole, part = (window.tokenizer.encode(text).ids for text in (prompt, read))
    assert part[: window.tokens - 1] == whole[: window.tokens - 1]
    assert window.truncated([read]) == [0]


def test_predictor_and_cache_read_what_the_encoder_reads() -> None:
    family, other = load_family("embedded"), LONG.replace("red apple", "three green frogs, behind a castle")
    assert other != LONG
    assert shared_encoder().tokens([LONG])[0].equal(shared_encoder().tokens([other])[0])
    for features in (Features.of(family), Features(family=family)):
        first, second = features([LONG, other])
        assert (first == second).all()
    assert read_by(family, [LONG]) == read_by(family, [other])


def test_a_window_is_told_without_torch() -> None:
    code = (
        "import sys; from core.families import load_family; from core.prompt_window import window_of;"
        "print(window_of(load_family('embedded')).truncated(['very ' * 40])); print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout.split() == ["[18]", "False"]


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
def test_a_checkpoint_is_counted_alike_from_its_files_and_by_who_has_loaded_it(
    architecture: str, tmp_path: Path
) -> None:
    adapter = Toys(tmp_path).adapter(architecture)
    by_files, loaded = window_of_model(adapter.model), adapter.prompt_window()
    assert by_files is not None
    assert loaded is not None
    assert loaded.truncated(["x" * 600]) == by_files.truncated(["x" * 600]) != [0]
    assert loaded.tokens == by_files.tokens


def test_a_checkpoint_with_the_older_files_of_clip_is_counted_too(tmp_path: Path) -> None:
    adapter = Toys(tmp_path).adapter("sd15")
    folder = Path(adapter.model.location) / "tokenizer"
    tokenizer = clip_tokenizer()
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    tokenizer.backend_tokenizer.model.save(str(folder))
    found = window_of_model(adapter.model.model_copy(update={"id": "older"}))
    assert found is not None
    assert found.truncated(["x" * 100]) == [25]


def test_a_model_whose_tokenizer_is_not_here_has_no_window_until_it_is_loaded() -> None:
    family = load_family("sdxl")
    nowhere = family.models[family.level(family.reference).model].model_copy(update={"path": "random:sdxl"})
    assert window_of_model(nowhere) is None
