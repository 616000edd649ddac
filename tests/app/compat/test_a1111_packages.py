"""Clients that people have for the web UI, unchanged, against the app on a socket: `webuiapi`, `sd-backend-client`."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pillow
from sd_backend_client.api.a1111_webservice import A1111Webservice
from sd_backend_client.api.detect import connect_to_backend
from sd_backend_client.api.shared_data.generation_handle import GenerationStatus
from sd_backend_client.api.webui.diffusion_request_body import DiffusionRequestBody
from sd_backend_client.errors import SDBackendError
from webuiapi import WebUIApi
from werkzeug.serving import make_server

from tests.app.test_compat import _quick as _quick
from tests.app.test_compat import stored, worker
from tests.core.test_pictures import halves

LOWEST = {"steps": 4, "width": 64, "height": 64}


@dataclass(frozen=True)
class Address:
    """Where the app listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def address(client: FlaskClient) -> Iterator[Address]:
    server = make_server("127.0.0.1", 0, client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Address(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_webuiapi_draws_with_its_defaults_and_understands_what_comes(address: Address) -> None:
    api = WebUIApi(host="127.0.0.1", port=address.port, username="somebody", password="something")
    with worker():
        result = api.txt2img(prompt="a red apple", negative_prompt="a worm", seed=1003)
    assert result.image.size == (512, 512)
    assert (result.info["seed"], result.info["all_seeds"], result.info["subseed_strength"]) == (1003, [1003], 0)
    assert result.parameters["prompt"] == "a red apple"
    with worker():
        many = api.txt2img(prompt="a", batch_size=2, n_iter=2, seed=6687881544318117707, **LOWEST)
    assert [int(seed) - 6687881544318117707 for seed in many.info["all_seeds"]] == [0, 1, 2, 3]
    assert len(many.images) == 4


def test_webuiapi_reads_everything_it_can(address: Address) -> None:
    api = WebUIApi(baseurl=f"{address.url}/sdapi/v1")
    assert api.util_get_model_names() == ["ac-5", "exact", "fs-10", "paper"]
    assert (api.util_get_sampler_names(), api.util_get_scheduler_names()) == (["Automatic"], ["automatic"])
    empty = (api.get_sd_vae, api.get_loras, api.get_hypernetworks, api.get_face_restorers, api.get_prompt_styles)
    assert [read() for read in (*empty, api.get_realesrgan_models, api.get_latent_upscale_modes)] == [[]] * 7
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    assert api.get_memory()["ram"]["total"] > 0
    assert api.get_progress()["state"]["job_count"] == 0
    assert (api.get_cmd_flags()["api"], api.refresh_checkpoints(), api.interrupt(), api.skip()) == (True, {}, {}, {})
    api.util_wait_for_ready(0.01)


def test_webuiapi_chooses_a_model_that_its_calls_then_have(address: Address) -> None:
    api = WebUIApi(host="127.0.0.1", port=address.port)
    api.util_set_model("fs-10")
    assert api.util_get_current_model() == "fs-10"
    with worker():
        api.txt2img(prompt="a", **LOWEST)
    assert [row.level_asked for row in stored()] == ["fs-10"]


def test_webuiapi_draws_from_an_image(address: Address) -> None:
    api = WebUIApi(host="127.0.0.1", port=address.port)
    with worker():
        found = api.img2img(images=[halves("RGB", "red", "blue")], mask_image=halves("L", 0, 255), prompt="a")
    assert found.image.size == (512, 512)  # as it asks by default
    assert found.info["denoising_strength"] == 0.75
    assert [(row.strength, row.mask_id is not None) for row in stored()] == [(0.75, True)]


def test_webuiapi_shows_why_an_image_is_not_enlarged_or_described(address: Address) -> None:
    api = WebUIApi(host="127.0.0.1", port=address.port)
    picture = Pillow.new("RGB", (8, 8))
    for call in (
        lambda: api.extra_single_image(picture),
        lambda: api.interrogate(picture),
    ):
        with pytest.raises(RuntimeError, match="This Argus does not") as refused:
            call()
        assert refused.value.args[0] == 400
    with pytest.raises(RuntimeError, match="enable_hr"):
        api.txt2img(prompt="a", enable_hr=True)


def test_webuiapi_reads_what_an_image_says(address: Address) -> None:
    api = WebUIApi(host="127.0.0.1", port=address.port)
    with worker():
        image = api.txt2img(prompt="a", **LOWEST).image
    assert api.png_info(image).json["items"]["prompt"] == "?"


def test_sd_backend_client_knows_what_this_is_and_draws(address: Address) -> None:
    backend = connect_to_backend(address.url)
    assert isinstance(backend, A1111Webservice)
    capabilities = backend.get_capabilities()
    assert (capabilities.controlnet, capabilities.ultimate_upscale, capabilities.scheduler) == (False, False, True)
    assert [option.name for option in backend.list_checkpoints()] == ["paper", "exact", "ac-5", "fs-10"]
    assert [backend.list_vaes(), backend.list_loras(), backend.list_hypernetworks(), backend.get_styles()] == [[]] * 4
    assert [len(backend.list_samplers()), len(backend.list_schedulers()), backend.list_upscalers()] == [1, 1, []]
    assert backend.get_script_info() == []
    body = DiffusionRequestBody(prompt="a", sd_model_name="ac-5", seed=2**62 + 1, batch_size=2)
    with worker():
        result = backend.submit_txt2img(body).wait(timeout=60)
    assert [image.size for image in result.images] == [(512, 512)] * 2
    assert result.seeds == [2**62 + 1, 2**62 + 2]
    assert {row.level_asked for row in stored()} == {"ac-5"}


def test_sd_backend_client_stops_what_it_sent(address: Address) -> None:
    backend = connect_to_backend(address.url)
    handle = backend.submit_txt2img(DiffusionRequestBody(prompt="a", **LOWEST))
    end = time.monotonic() + 30
    while (told := handle.poll()).status is not GenerationStatus.ACTIVE or not told.progress:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert handle.cancel()
    with pytest.raises(SDBackendError):
        handle.wait(timeout=60)
    assert [row.state for row in stored()] == ["cancelled"]


def test_sd_backend_client_shows_why_an_image_is_not_described(address: Address) -> None:
    backend = connect_to_backend(address.url)
    with pytest.raises(SDBackendError, match="This Argus does not"):
        backend.interrogate(Pillow.open(io.BytesIO(_picture())))


def _picture() -> bytes:
    sink = io.BytesIO()
    Pillow.new("RGB", (8, 8)).save(sink, "PNG")
    return sink.getvalue()
