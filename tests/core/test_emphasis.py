"""Weights of words stand beside the plain text, and both together say what was written."""

from __future__ import annotations

from core.emphasis import Emphasis, Span, fragments, read_emphasis, weighted, written_emphasis

TEXT, SPANS = "a red fox (tame) sits", (Span(2, 5, 1.2), Span(6, 9, 0.85))


def test_a_row_s_text_is_read_as_it_was_written() -> None:
    for emphasis in (Emphasis(SPANS, (Span(0, 4, 1.1),)), Emphasis((), (Span(0, 4, 0.0),)), Emphasis(SPANS)):
        assert read_emphasis(written_emphasis(emphasis)) == emphasis
    assert written_emphasis(Emphasis(SPANS, (Span(0, 4, 1.1),))) == "2-5:1.2,6-9:0.85/0-4:1.1"
    assert (written_emphasis(Emphasis()), written_emphasis(Emphasis(SPANS[:1]))) == (None, "2-5:1.2")
    assert read_emphasis(None) == Emphasis()


def test_fragments_have_one_weight_each_and_words() -> None:
    assert fragments(TEXT, SPANS) == [("a ", 1), ("red", 1.2), ("fox", 0.85), (" (tame) sits", 1)]
    assert fragments("red", ()) == [("red", 1)]


def test_weights_are_written_as_the_web_ui_writes_them() -> None:
    assert weighted(TEXT, SPANS) == r"a (red:1.2) (fox:0.85) \(tame\) sits"
    assert weighted("a (red) fox", ()) == "a (red) fox"
