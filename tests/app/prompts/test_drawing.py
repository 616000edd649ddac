"""Choices in prompts: drawn by the seed, bounded, and nothing else is touched."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prompts.drawing import MOST_CHOICES, draw
from app.prompts.language import Lines
from app.prompts.reading import read_lines
from core.errors import BadPrompt

FILES = {
    "cats": ["tabby", "siamese"],
    "animals/all": ["__cats__", "{big|small} dog"],
    "itself": ["__itself__"],
    "often": ["9::red", "blue"],
    "long": ["x" * 5000],
    "dressed": ["${season} coat of ${of:silk}"],
}


def find(name: str) -> Lines:
    if name not in FILES:
        raise BadPrompt(f"no {name}")
    return read_lines(FILES[name])


def drawn(prompt: str, seeds: int = 300) -> Counter[str]:
    return Counter(draw(prompt, seed, find) for seed in range(seeds))


def test_a_seed_draws_the_same_always_and_other_seeds_others() -> None:
    assert draw("a {red|green|blue} {fox|cat}", 7, find) == "a green fox"  # as on every machine, in every version
    assert set(drawn("a {red|green|blue}")) == {"a red", "a green", "a blue"}


def test_choices_nest_and_may_be_empty() -> None:
    assert set(drawn("a {red|{deep |pale |}blue} fox")) == {
        *("a red fox", "a deep blue fox", "a pale blue fox", "a blue fox")
    }


def test_weights_say_how_often() -> None:
    assert 0.85 < drawn("{9::red|blue}", 2000)["red"] / 2000 < 0.95
    assert 0.85 < drawn("__often__", 2000)["red"] / 2000 < 0.95
    assert set(drawn("{0::red|blue}")) == {"blue"}


def test_several_different_ones_are_drawn() -> None:
    assert all(len(set(text.split(", "))) == 2 for text in drawn("{2$$a|b|c}"))
    assert {text.count(" and ") for text in drawn("{1-3$$ and $$a|b|c}")} == {0, 1, 2}
    assert {len(text.split(", ")) for text in drawn("{9$$a|b|c}")} == {3}


def test_wildcards_are_lines_of_files_with_choices_of_their_own() -> None:
    assert set(drawn("a __animals/all__")) == {"a tabby", "a siamese", "a big dog", "a small dog"}


def test_several_lines_of_one_file_are_different_ones() -> None:
    assert set(drawn("{2$$ and $$__cats__}")) == {"tabby and siamese", "siamese and tabby"}
    assert {len(text.split(" and ")) for text in drawn("{-2$$ and $$__cats__}")} == {1, 2}
    assert set(drawn("{9$$__cats__}")) == {"tabby, siamese", "siamese, tabby"}


def test_bounds_may_be_open_and_bars_may_stand_between() -> None:
    assert {len(text.split(", ")) for text in drawn("{-2$$a|b|c}")} == {1, 2}
    assert {len(text.split(", ")) for text in drawn("{2-$$a|b|c}")} == {2, 3}
    assert set(drawn("{2$$ | $$a|b}")) == {"a | b", "b | a"}
    assert set(drawn("{2$$|$$a|b}")) == {"a|b", "b|a"}
    assert set(drawn("{0-1$$a|b}")) == {"", "a", "b"}
    assert set(drawn("{1$$a}")) == {"a"}


def test_a_variable_drawn_at_once_is_the_same_at_each_use() -> None:
    assert set(drawn("${x=!{red|blue}}${x} on ${ x }")) == {"red on red", "blue on blue"}
    assert len(drawn("${x={red|blue}}${x} on ${x}")) == 4
    assert set(drawn("${x=a}${x?=b}${y?=c}${x}${y}")) == {"ac"}
    assert set(drawn("${x:{a|b}} ${x=c}${x:d}")) == {"a c", "b c"}


def test_lines_of_files_read_variables() -> None:
    assert set(drawn("__dressed(season=winter, of = wool)__")) == {"winter coat of wool"}
    assert set(drawn("${season=summer}__dressed__")) == {"summer coat of silk"}
    with pytest.raises(BadPrompt, match="No variable `season`"):
        draw("__dressed(of=wool)__", 1, find)


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("{!a|b}", "every combination"),
        ("{@a|b}", "one after the other"),
        ("__!cats__", "every combination"),
        ("__@cats__", "one after the other"),
        ("a %{photo of ...$$fox}", "Wraps"),
        ("a ${fox}", "No variable `fox`"),
        ("${fox=a|b}", "braces of their own"),
        ("__dressed(winter)__", "name=value"),
    ],
)
def test_what_the_extension_knows_and_we_do_not_is_refused_in_words(prompt: str, what: str) -> None:
    with pytest.raises(BadPrompt, match=what):
        draw(prompt, 1, find)


def test_a_price_is_no_variable() -> None:
    assert set(drawn("costs ${5|10}")) == {"costs $5", "costs $10"}
    assert set(drawn(r"costs ${5} or $\{x\}")) == {"costs ${5} or ${x}"}
    assert set(drawn("{~a|b} __~cats__")) == {"a tabby", "a siamese", "b tabby", "b siamese"}


@pytest.mark.parametrize(
    "prompt",
    [
        "a {red} fox",
        "a | b",
        r"$\frac{a}{b} + |x|^{2}$",
        '{"subject": "a fox|cat", "style": {"light": "{a|b}"}}',
        '["{a|b}"]',
        "if (a || b) { go }",
        "for (;;) { if (x) { y } }",
        "name: ______ date: __",
        "a } b { c | d",
        "a {red|green",
        "5 __ 6 __ 7",
        "x_1 and y__2",
        "(a:1.2) [b:c:0.5] <lora:x:1>",
        "{" * 500,
        "{" * 500 + "}" * 500,
    ],
)
def test_what_is_no_choice_is_read_as_it_is_written(prompt: str) -> None:
    assert drawn(prompt, 3) == {prompt: 3}


def test_a_backslash_makes_a_character_itself() -> None:
    assert drawn(r"\{a|b\} \__cats__ \_\_cats\_\_ {x\|y}", 3) == {"{a|b} __cats__ __cats__ {x|y}": 3}


@pytest.mark.parametrize(
    "prompt",
    [
        "__itself__",
        "{a|" * 12 + "b" + "}" * 12,
        "{a|b}" * (MOST_CHOICES + 1),
        "__long__" * 10,
        "{0::a|0::b}",
        "__nothing__",
        "${x=${x}}${x}",
        "${a=}${b=${a}${a}${a}${a}${a}${a}${a}}${c=${b}${b}${b}${b}${b}${b}${b}${b}}${c}${c}",
        "{" + "|".join(["${x:" * 12 + "a" + "}" * 12, "b"]) + "}",
    ],
)
def test_choices_have_bounds(prompt: str) -> None:
    with pytest.raises(BadPrompt):
        draw(prompt, 1, find)


@given(st.text(alphabet=r"ab{}|\_$:12 =!?~@(-" + "__", max_size=80), st.integers(0, 2**63 - 1))
def test_any_text_is_drawn_or_refused_and_drawn_alike_again(prompt: str, seed: int) -> None:
    try:
        first = draw(prompt, seed, find)
    except BadPrompt:
        return
    assert draw(prompt, seed, find) == first
    assert len(first) <= len(prompt) + 5000
