"""webuiapi, the Python client of AUTOMATIC1111's API that most scripts use."""

import urllib.parse

import webuiapi
from features import URL, Refused, expect, feature

host, port = urllib.parse.urlsplit(URL).hostname, urllib.parse.urlsplit(URL).port
client = webuiapi.WebUIApi(host=host, port=port)
READS = """options cmd_flags samplers schedulers upscalers sd_models hypernetworks face_restorers realesrgan_models
prompt_styles embeddings memory loras sd_vae scripts progress latent_upscale_modes"""


@feature("default call")
def default() -> str:
    answer = client.txt2img(prompt="a red apple")
    expect(answer.image.size == (512, 512), f"512×512, got {answer.image.size}")
    expect("parameters" in answer.image.info, "an infotext in the PNG")
    return f"PNG of {answer.image.size}, seed {answer.info['seed']}"


@feature("sizes, steps, sampler, batch")
def options() -> str:
    answer = client.txt2img(
        prompt="a red apple",
        negative_prompt="blur",
        seed=1003,
        cfg_scale=7,
        steps=20,
        width=768,
        height=512,
        batch_size=2,
        sampler_name="DPM++ 2M",
        scheduler="Karras",
    )
    expect(len(answer.images) == 2 and answer.images[0].size == (768, 512), "two of 768×512")
    return f"two of {answer.images[0].size}, seeds {answer.info['all_seeds']}"


@feature("what it reads at start-up")
def reads() -> str:
    names = [f"get_{name}" for name in READS.split()]
    there = [name for name in names if hasattr(client, name)]
    for name in there:
        getattr(client, name)()
    client.refresh_checkpoints()
    client.interrupt()
    client.skip()
    return f"{len(there)} read routes, refresh, interrupt, skip"


@feature("set the model")
def model() -> str:
    name = client.util_get_model_names()[0]
    client.util_set_model(name)
    expect(client.util_get_current_model(), "a current model")
    return f"{name}; now {client.util_get_current_model()}"


@feature("png_info")
def png_info() -> str:
    answer = client.txt2img(prompt="a red apple", seed=5)
    info = client.png_info(answer.image)
    expect("Seed: 5" in str(info.info), f"the seed, got {info.info!r}")
    return "reads back what was drawn"


@feature("img2img")
def img2img() -> str:
    image = client.txt2img(prompt="a red apple", seed=5).image
    try:
        client.img2img(prompt="a green apple", images=[image])
    except RuntimeError as error:
        raise Refused(f"RuntimeError: {error}") from None
    return "drawn"


@feature("hires fix")
def hires() -> str:
    try:
        client.txt2img(prompt="a red apple", enable_hr=True)
    except RuntimeError as error:
        raise Refused(f"RuntimeError: {error}") from None
    return "drawn"
