"""Stored pictures in other sizes and formats."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures

from app.rendering import MOST_PIXELS, Rendering, render
from core.images import encode_png
from tests.app.conftest import code_and_field, draw

TEXT = {"prompt": "a red fox, naïve 🦊", "seed": "7", "parameters": "a red fox, naïve 🦊\nSteps: 8, Seed: 7"}


def striped() -> bytes:
    """A picture of 96×64: red, 32 columns of green in the middle, red."""
    picture = Pictures.new("RGB", (96, 64), "red")
    picture.paste("lime", (32, 0, 64, 64))
    return encode_png(picture, TEXT)


def opened(data: bytes) -> Any:
    picture = Pictures.open(io.BytesIO(data))
    picture.load()
    return picture


def test_what_is_drawn_as_it_is_wanted_leaves_byte_for_byte() -> None:
    assert render(striped(), Rendering()) == striped()
    assert render(striped(), Rendering(96, 64)) == striped()


def test_a_picture_covers_what_was_asked_and_is_cut_around_its_centre() -> None:
    picture = opened(render(striped(), Rendering(64, 128)))  # enlarged twice: the middle third
    assert picture.size == (64, 128)
    red, green, blue = picture.getpixel((32, 64))
    assert (red, green, blue) == (0, 255, 0)
    assert all(picture.getpixel((column, 64))[1] > 200 for column in (4, 59))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(48, None, (48, 32)), (None, 128, (192, 128)), (33, 77, (33, 77))]
)
def test_a_side_that_is_left_out_follows_the_other(width: int | None, height: int | None, size: Any) -> None:
    assert opened(render(striped(), Rendering(width, height))).size == size


def test_a_png_keeps_its_text() -> None:
    assert opened(render(striped(), Rendering(64, 64))).text == TEXT


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_other_formats_carry_the_text_as_exif(format: Any) -> None:
    picture = opened(render(striped(), Rendering(format=format)))
    assert (picture.format, picture.size) == (format.upper(), (96, 64))
    exif = picture.getexif()
    assert json.loads(exif[0x010E]) == TEXT
    comment = exif.get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be") == TEXT["parameters"]


def test_more_text_than_a_jpeg_holds_is_left_out_and_the_picture_made() -> None:
    png = encode_png(Pictures.new("RGB", (32, 32)), {"prompt": "🦊" * 30_000})
    assert not opened(render(png, Rendering(format="jpeg"))).getexif()


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_less_quality_is_a_smaller_file(format: Any) -> None:
    noisy = Pictures.effect_noise((128, 128), 90).convert("RGB")
    sizes = [len(render(encode_png(noisy, {}), Rendering(format=format, quality=q))) for q in (0, 50, 95, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 2


@pytest.fixture
def image(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> str:
    return f"/v1/images/{draw(submit(prompt='a fox')['requests'][0]['id'])}"


def test_a_link_gives_the_size_and_format_that_it_names(client: FlaskClient, image: str) -> None:
    answer = client.get(image, query_string=Rendering(1024, 512, "webp", 50).query())
    assert (answer.status_code, answer.mimetype) == (200, "image/webp")
    assert (opened(answer.data).format, opened(answer.data).size) == ("WEBP", (1024, 512))
    assert answer.headers["Content-Disposition"].endswith('.webp"')
    assert client.get(image, query_string={"format": "jpeg", "t": "1700000000"}).mimetype == "image/jpeg"


@pytest.mark.parametrize(("ending", "made"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_the_ending_of_a_link_says_the_format(client: FlaskClient, image: str, ending: str, made: str) -> None:
    answer = client.get(f"{image}.{ending}?width=40&format=gif")
    assert (answer.mimetype, opened(answer.data).format, opened(answer.data).size) == (
        f"image/{ending}",
        made,
        (40, 40),
    )
    assert client.get(f"{image}.gif").status_code == 404


def test_each_size_and_format_has_a_tag_of_its_own(client: FlaskClient, image: str) -> None:
    queries = ["", "?width=32", "?format=jpeg", "?format=jpeg&quality=3"]
    tags = [client.get(image + query).headers["ETag"] for query in queries]
    assert len(set(tags)) == len(tags)
    for query, tag in zip(queries, tags, strict=True):
        assert client.get(image + query, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(image + "?width=33", headers={"If-None-Match": tags[1]}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("width=15", "width"),
        ("height=4097", "height"),
        ("width=x", "width"),
        ("format=gif", "format"),
        ("quality=101", "quality"),
        ("quality=-1", "quality"),
        ("width=4096&height=4096", "width"),
    ],
)
def test_what_no_image_can_be_is_refused(client: FlaskClient, image: str, query: str, field: str) -> None:
    status, _, at_fault = code_and_field(client.get(f"{image}?{query}"))
    assert (status in (400, 422), at_fault) == (True, field)


def test_a_side_that_follows_is_bounded_too(client: FlaskClient) -> None:
    from core.errors import OutOfRange

    tall = encode_png(Pictures.new("RGB", (16, 64)), {})
    assert MOST_PIXELS < 4096 * 16384
    with pytest.raises(OutOfRange, match="are made of an image"):
        render(tall, Rendering(width=4096))


def test_an_image_that_is_not_there_is_404_in_any_format(client: FlaskClient) -> None:
    assert client.get(f"/v1/images/{uuid.uuid4()}?format=webp").status_code == 404


def test_a_thumbnail_is_kept_by_whoever_asks_for_it(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    image = draw(submit(prompt="a")["requests"][0]["id"])
    answer = client.get(f"/v1/images/{image}/thumbnail")
    assert (answer.status_code, answer.mimetype) == (200, "image/webp")
    assert answer.cache_control.immutable
    again = client.get(f"/v1/images/{image}/thumbnail", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
