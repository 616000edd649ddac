"""The form that begins with an image: sent as a file or named by its id, with a mask, shown again with both."""

from __future__ import annotations

import io
import re
from typing import Any

from flask.testing import FlaskClient

from tests.app.conftest import draw, rows
from tests.app.test_inputs import MASK, PICTURE, columns, kept
from tests.app.web.conftest import PAGE, Submit, token, words


def sent(client: FlaskClient, **fields: Any) -> Any:
    """The form, as a browser sends it."""
    form = {"argus_token": token(client), "prompts": "a fox", "size": "64x64", "strength": "0.6", "mask": "", **fields}
    files = {name: (io.BytesIO(value), f"{name}.png") for name, value in form.items() if isinstance(value, bytes)}
    return client.post("/", data={**form, **files}, headers=PAGE, content_type="multipart/form-data")


def hidden(page: str, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" id="{name}" value="([^"]*)">', page)
    assert found
    return found[1]


def test_an_image_and_a_mask_are_sent_with_the_form(client: FlaskClient) -> None:
    answer = sent(client, image_file=PICTURE, mask_file=MASK)
    assert answer.status_code == 303, words(answer.text)
    assert sent(client, image_file=PICTURE).status_code == 303
    assert [(*each[:2], round(each[2], 3), each[3]) for each in columns()] == [
        (64, 64, 0.6, True),
        (64, 64, 0.6, False),
    ]


def test_without_an_image_its_strength_says_nothing(client: FlaskClient) -> None:
    assert sent(client).status_code == 303
    assert sent(client, image_file=b"").status_code == 303  # as browsers send it where none was chosen
    assert [each[2:] for each in columns()] == [(None, False)] * 2


def test_a_form_that_is_shown_again_still_has_image_and_mask(client: FlaskClient) -> None:
    page = sent(client, image_file=PICTURE, mask_file=MASK, steps="99").text
    image, mask = hidden(page, "image"), hidden(page, "mask")
    assert (kept(), rows()) == (2, (0, 0))
    assert f'src="/v1/inputs/{image}"' in page
    assert 'id="begin" open' in page
    assert sent(client, image=image, mask=mask).status_code == 303
    assert columns()[0][3]
    assert kept() == 2


def test_what_is_no_picture_or_no_mask_for_it_is_said_above_the_form(client: FlaskClient) -> None:
    bad = sent(client, image_file=PICTURE[:60])
    assert (bad.status_code, "image_file" in bad.text) == (422, True)
    assert hidden(bad.text, "image") == ""
    black = sent(client, image_file=PICTURE, mask_file=PICTURE[:50])
    assert (black.status_code, "mask_file" in black.text) == (422, True)
    gone = sent(client, image="00000000-0000-0000-0000-000000000000")
    assert (gone.status_code, rows()) == (404, (0, 0))


def test_an_image_that_was_drawn_is_begun_with_and_compared_to_what_became_of_it(
    client: FlaskClient, submit: Submit
) -> None:
    first = submit(prompt="a <b>fox</b>")["requests"][0]["id"]
    draw(first)
    page = client.get(f"/requests/{first}", headers=PAGE).text
    (again,) = re.findall(r'href="(/\?[^"]+)">Begin with it', page)
    form = client.get(again.replace("&amp;", "&"), headers=PAGE).text
    assert "a &lt;b&gt;fox&lt;/b&gt;</textarea>" in form
    assert re.search(r'src="/v1/images/[0-9a-f-]+"', form)
    second = submit(prompt="a", image=hidden(form, "image"))["requests"][0]["id"]
    draw(second)
    shown = client.get(f"/requests/{second}", headers=PAGE).text
    assert "data-slider" in shown
    assert "image-to-image, strength 0.75: the image" in words(shown)
    assert "data-slider" not in page


def test_a_draft_with_an_image_is_priced_without_reading_it(client: FlaskClient) -> None:
    fields = {"prompts": "a cat", "size": "64x64", "image": "no id at all", "mask": "none", "strength": "0.5"}
    assert words(client.post("/preview", data=fields, headers=PAGE).text).startswith("1 image")
