"""Names in the plural and with their article."""

import pytest

from families.embedded import words


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("fox", "foxes"),
        ("cup of coffee", "cups of coffee"),
        ("mouse", "mice"),
        ("butterfly", "butterflies"),
        ("monkey", "monkeys"),
        ("bus", "buses"),
        ("grapes", "grapes"),
        ("tropical fish", "tropical fish"),
    ],
)
def test_names_have_their_plural(one: str, many: str) -> None:
    assert words.plural(one) == many


@pytest.mark.parametrize(
    ("name", "with_article"),
    [("owl", "an owl"), ("unicorn", "a unicorn"), ("umbrella", "an umbrella"), ("fox", "a fox")],
)
def test_names_have_their_article(name: str, with_article: str) -> None:
    assert words.article(name) == with_article
