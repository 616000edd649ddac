"""OpenAI's own Python client."""

import base64
import json
import time

import openai
from features import URL, Refused, expect, feature, size_of
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)


@feature("default call")
def default() -> str:
    answer = client.images.generate(prompt="a red apple")
    expect(answer.data and answer.data[0].b64_json, "b64_json")
    return f"PNG of {size_of(base64.b64decode(answer.data[0].b64_json))}"


@feature("gpt-image-1, 1024x1024, quality high")
def gpt_image() -> str:
    answer = client.images.generate(model="gpt-image-1", prompt="a red apple", size="1024x1024", quality="high", n=1)
    expect(size_of(base64.b64decode(answer.data[0].b64_json)) == (1024, 1024), "1024×1024")
    expect(answer.usage is not None, "usage")
    return f"1024×1024, usage {answer.usage.total_tokens}, quality {answer.quality}, size {answer.size}"


@feature("dall-e-3, 1792x1024, url")
def dalle() -> str:
    answer = client.images.generate(
        model="dall-e-3", prompt="a red apple", size="1792x1024", quality="hd", style="vivid", response_format="url"
    )
    data = client._client.get(answer.data[0].url).content
    expect(size_of(data) == (1792, 1024), "1792×1024")
    return "1792×1024 at the link"


@feature("webp, compression, n=2, seed by extra_body")
def webp() -> str:
    answer = client.images.generate(
        model="gpt-image-1",
        prompt="a red apple",
        n=2,
        output_format="webp",
        output_compression=80,
        extra_body={"seed": 7, "negative_prompt": "blur", "min_quality": 0.9},
    )
    expect(len(answer.data) == 2, "two images")
    expect(base64.b64decode(answer.data[0].b64_json)[8:12] == b"WEBP", "a WebP file")
    return "two WebP files"


@feature("stream with partial images")
def stream() -> str:
    events = list(client.images.generate(model="gpt-image-1", prompt="a red apple", stream=True, partial_images=2))
    kinds = [event.type for event in events]
    expect(kinds[-1] == "image_generation.completed", f"a completed event, got {kinds}")
    expect(kinds.count("image_generation.partial_image") >= 1, "partial images")
    return ", ".join(kinds)


@feature("models")
def models() -> str:
    names = [model.id for model in client.models.list()]
    return f"{len(names)} models; {client.models.retrieve('dall-e-3').id} is one"


@feature("a model that is not there")
def no_model() -> str:
    try:
        client.images.generate(model="sdxl-of-mine", prompt="a red apple")
    except openai.NotFoundError as error:
        expect(error.code == "model_not_found", f"model_not_found, got {error.code}")
        raise Refused(f"NotFoundError: {error.body['message']}") from None
    raise AssertionError("it was drawn")


@feature("an empty prompt")
def empty() -> str:
    try:
        client.images.generate(prompt="")
    except openai.BadRequestError as error:
        expect(error.param == "prompt", "param: prompt")
        raise Refused(f"BadRequestError: {error.body['message']}") from None
    raise AssertionError("it was drawn")


@feature("images.edit")
def edit() -> str:
    png = base64.b64decode(client.images.generate(prompt="a red apple").data[0].b64_json)
    try:
        client.images.edit(image=("a.png", png, "image/png"), prompt="a green apple")
    except openai.BadRequestError as error:
        raise Refused(f"BadRequestError: {error.body['message']}") from None
    return "edited"


@feature("files and batches")
def batches() -> str:
    lines = [
        {"custom_id": f"row-{i}", "method": "POST", "url": "/v1/images/generations", "body": {"prompt": f"{i} apples"}}
        for i in range(3)
    ]
    text = "\n".join(json.dumps(line) for line in lines).encode()
    file = client.files.create(file=("prompts.jsonl", text), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/images/generations", completion_window="24h", metadata={"by": "bench"}
    )
    end = time.monotonic() + 180
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        expect(time.monotonic() < end, f"an end within 180 s, status {batch.status}")
        time.sleep(1)
        batch = client.batches.retrieve(batch.id)
    expect(batch.status == "completed", f"completed, got {batch.status}: {batch.errors}")
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    expect({result["custom_id"] for result in results} == {"row-0", "row-1", "row-2"}, "each line once")
    expect(all(result["response"]["status_code"] == 200 for result in results), "200 for each")
    expect(any(one.id == batch.id for one in client.batches.list()), "the batch in the list")
    client.files.delete(file.id)
    return f"{batch.request_counts.completed} of {batch.request_counts.total} lines"
