"""Names in the plural and with their article."""

import pytest

from families.embedded.recipe import words


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("fox", "foxes"),
        ("cup of coffee", "cups of coffee"),
        ("mouse", "mice"),
        ("butterfly", "butterflies"),
        ("monkey", "monkeys"),
        ("bus", "buses"),
        ("tropical fish", "tropical fish"),
        ("person surfing", "people surfing"),
        ("pair of headphones", "pairs of headphones"),
        ("face with tears of joy", "faces with tears of joy"),
    ],
)
def test_names_have_their_plural(one: str, many: str) -> None:
    assert words.plural(one) == many


@pytest.mark.parametrize(
    ("name", "with_article"),
    [
        ("owl", "an owl"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("fox", "a fox"),
        ("cherries", "cherries"),
        ("glasses", "glasses"),
        ("pair of skis", "a pair of skis"),
    ],
)
def test_names_have_their_article(name: str, with_article: str) -> None:
    assert words.article(name) == with_article


def test_what_is_plural_or_uncounted_is_never_counted() -> None:
    assert not any(map(words.is_countable, ("cherries", "fire", "fork and knife", "people hugging", "camping")))


def test_every_place_has_its_phrases_and_only_colours_are_plain() -> None:
    assert {words.GROUNDS[number].name for number in words.PLAIN} == set(words.COLOURS)
    assert len(words.PLACES) == 14
    assert all(ground.phrases for ground in words.GROUNDS)
