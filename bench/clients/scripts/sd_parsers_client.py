"""sd-parsers, which reads how an image was made out of its file."""

import base64
import io
import time

import requests
from features import URL, expect, feature
from sd_parsers import ParserManager


def parsed(data: bytes):
    return ParserManager().parse(io.BytesIO(data))


@feature("a PNG of the native API")
def native() -> str:
    job = requests.post(f"{URL}/v1/jobs", json={"prompt": "a red apple, on a table", "seed": 7}, timeout=60).json()
    for _ in range(600):
        found = requests.get(f"{URL}/v1/jobs/{job['id']}", timeout=60).json()
        if found["progress"] >= 1:
            break
        time.sleep(0.2)
    image = requests.get(f"{URL}/v1/images/{found['requests'][0]['image_id']}", timeout=60).content
    info = parsed(image)
    expect(info is not None, "something read")
    prompts = [prompt.value for prompt in info.prompts]
    expect("a red apple, on a table" in prompts, f"the prompt, got {prompts}")
    sampler = info.samplers[0]
    expect(str(sampler.parameters.get("seed")) == "7", f"the seed, got {sampler.parameters}")
    return f"prompt, seed, sampler {sampler.name}"


@feature("a PNG of txt2img")
def webui() -> str:
    answer = requests.post(
        f"{URL}/sdapi/v1/txt2img", json={"prompt": "a pear", "negative_prompt": "blur: much"}, timeout=120
    )
    info = parsed(base64.b64decode(answer.json()["images"][0]))
    expect([prompt.value for prompt in info.prompts] == ["a pear"], "the prompt")
    expect([prompt.value for prompt in info.negative_prompts] == ["blur: much"], "the negative prompt")
    return "prompt, negative prompt"
