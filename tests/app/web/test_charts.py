"""Charts: areas stand on each other, gaps stay gaps, and what they show is what the rows say."""

from __future__ import annotations

from app.web.charts import HEIGHT, WIDTH, ceiling, chart, level_classes, stacked


def corners(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (place.split(",") for place in points.split())]


def test_an_area_stands_on_the_sum_of_those_before_it() -> None:
    below, above = stacked({"a": ("x", [1, 0]), "b": ("y", [1, 2])}, top=4)
    assert corners(below.points[0])[:4] == [(0, 112.5), (300, 112.5), (300, 150), (600, 150)]
    assert corners(above.points[0])[:4] == [(0, 75), (300, 75), (300, 75), (600, 75)]
    assert corners(above.points[0])[4:] == list(reversed(corners(below.points[0])[:4]))


def test_an_area_of_nothing_is_left_out_and_takes_no_room() -> None:
    (only,) = stacked({"none": ("x", [0, None]), "some": ("y", [2, 2])}, top=2)
    assert only.name == "some"
    assert {y for _, y in corners(only.points[0])} == {0, HEIGHT}


def test_a_line_ends_where_there_is_no_value() -> None:
    made = chart("t", "s", ["a", "b", "c"], {}, {"line": ("x", [1.0, None, 1.0])})
    assert [corners(piece) for piece in made.lines[0].points] == [
        [(0, 0), (WIDTH / 3, 0)],
        [(2 * WIDTH / 3, 0), (WIDTH, 0)],
    ]
    assert made.slots == ("a: line 1.0 s", "b: nothing s", "c: line 1.0 s")


def test_a_chart_without_values_is_empty_and_still_has_an_edge() -> None:
    made = chart("t", "s", ["a"], {"x": ("x", [0])}, {"y": ("y", [None])})
    assert made.is_empty
    assert made.top > made.low


def test_a_share_is_drawn_up_to_one_though_rounding_makes_it_a_little_more() -> None:
    made = chart("t", "of exact", ["a", "b"], {}, {"q": ("x", [1.0000001, 0.9])}, low=0.8, digits=3, top=1.0)
    assert (made.low, made.top) == (0.8, 1.0)
    assert [y for _, y in corners(made.lines[0].points[0])] == [0, 0, HEIGHT / 2, HEIGHT / 2]


def test_the_upper_edge_is_a_round_number() -> None:
    assert {value: ceiling(value) for value in (0, 0.003, 1, 1.1, 4, 7, 99, 100, 101)} == {
        **{0: 1, 0.003: 0.005, 1: 1, 1.1: 2, 4: 5, 7: 10, 99: 100, 100: 100, 101: 200}
    }


def test_levels_of_one_strategy_differ_in_shade() -> None:
    assert level_classes(["exact", "sm-a", "sm-b", "x-1"]) == {
        "exact": "exact shade0",
        "sm-a": "sm shade0",
        "sm-b": "sm shade1",
        "x-1": "other shade0",
    }
