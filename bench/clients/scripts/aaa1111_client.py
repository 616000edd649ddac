"""aaa1111, an asynchronous client of AUTOMATIC1111's API with typed shapes."""

import asyncio

from aaa1111 import AAA1111
from features import URL, expect, feature


@feature("default call")
def default() -> str:
    answer = AAA1111(base_url=URL).txt2img({"prompt": "a red apple"})
    expect(len(answer.images) == 1, "one image")
    return "one image"


@feature("asynchronous, a batch with options")
def batch() -> str:
    wanted = {
        "prompt": "masterpiece, best quality, a red apple",
        "negative_prompt": "(worst quality, low quality:1.1), text",
        "sampler_name": "DPM++ 2M Karras",
        "batch_size": 2,
        "n_iter": 1,
        "cfg_scale": 7.5,
        "width": 512,
        "height": 768,
        "steps": 20,
        "override_settings": {"CLIP_stop_at_last_layers": 2},
    }
    answer = asyncio.run(AAA1111(base_url=URL).atxt2img(wanted))
    expect(len(answer.images) >= 2, "two images")
    return "two images"


@feature("what it reads")
def reads() -> str:
    client = AAA1111(base_url=URL)
    names = [name for name in dir(client) if name.startswith("get_") and not name.startswith("get_config")]
    told = []
    for name in names:
        getattr(client, name)()
        told.append(name)
    client.interrupt()
    client.skip()
    client.refresh_checkpoints()
    return ", ".join(told)
