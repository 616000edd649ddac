"""`(red:1.2)`: read as AUTOMATIC1111's web UI reads it, bounded; what is no weight stays text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prompts.weights import MOST_NESTED, MOST_SPANS, take_weights
from core.emphasis import fragments, weighted
from core.errors import ArgusError, BadPrompt, OutOfRange


def read(text: str) -> list[tuple[str, float]]:
    plain, spans = take_weights(text, "prompt")
    return fragments(plain, spans)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("a (red:1.2) fox", [("a ", 1), ("red", 1.2), (" fox", 1)]),
        ("a (red) fox", [("a ", 1), ("red", 1.1), (" fox", 1)]),
        ("a ((red)) fox", [("a ", 1), ("red", 1.21), (" fox", 1)]),
        ("a [red] fox", [("a ", 1), ("red", 0.9091), (" fox", 1)]),
        ("(a (red:1.5) fox:1.2)", [("a", 1.2), ("red", 1.8), ("fox", 1.2)]),
        ("([red])", [("red", 1)]),
        ("(red : .5 )", [("red", 0.5)]),
        ("(a, b:1.2), c", [("a, b", 1.2), (", c", 1)]),
        ("(big dog)(cat:0)", [("big dog", 1.1), ("cat", 0)]),
        (r"a \(red\) \[fox\] \\", [("a (red) [fox] \\", 1)]),
        (r"(a \(b\):1.3)", [("a (b)", 1.3)]),
        ("smile :) and :( now", [("smile :) and :( now", 1)]),
        ("a) b] (c", [("a) b] (c", 1)]),
        ("(a] b)", [("a] b", 1.1)]),
        ("[a:1.5)", [("[a:1.5)", 1)]),
        ("(ratio 4:3)", [("ratio 4", 3)]),  # as there
        ("[cat:dog:0.5] [a|b] [x:10]", [("[cat:dog:0.5] [a|b] [x:10]", 1)]),
        ("( red   fox :1.2)  , x", [("red fox", 1.2), (" , x", 1)]),
        ("a () b", [("a b", 1)]),
    ],
)
def test_weights_are_read_as_the_web_ui_reads_them(written: str, parts: list[tuple[str, float]]) -> None:
    assert read(written) == parts


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("(" * (MOST_NESTED + 1) + "a" + ")" * (MOST_NESTED + 1), BadPrompt),
        ("(a:1.1) b " * (MOST_SPANS + 1), BadPrompt),
        ("(a:9)", OutOfRange),
        ("(ratio 16:9)", OutOfRange),
        ("(a:-1)", OutOfRange),
        ("((a:4):4)", OutOfRange),
        ("(a:99999999999)", OutOfRange),
    ],
)
def test_weights_have_bounds_that_name_the_field(text: str, kind: type[ArgusError]) -> None:
    with pytest.raises(kind) as caught:
        take_weights(text, "prompts.3.prompt")
    assert caught.value.field == "prompts.3.prompt"


@given(st.text(alphabet=r"ab ()[]:|\1.25,", max_size=60))
def test_any_text_is_read_or_refused_and_what_was_read_is_read_alike_again(text: str) -> None:
    try:
        plain, spans = take_weights(" ".join(text.split()), "prompt")
    except ArgusError:
        return
    assert plain == " ".join(plain.split())
    assert all(0 <= a < b <= len(plain) for a, b, _ in spans)
    again, same = take_weights(weighted(plain, spans), "prompt") if spans else (plain, spans)
    assert (again, same) == (plain, spans)
