"""sd-backend-client, which probes what server it meets and queues on its own side."""

from features import URL, Refused, expect, feature
from sd_backend_client import A1111Webservice, DiffusionParams, GenerationError, SDBackendError, connect_to_backend

seen: list[float] = []


@feature("default call")
def default() -> str:
    backend = connect_to_backend(URL)
    expect(isinstance(backend, A1111Webservice), f"an A1111 server, got {type(backend).__name__}")
    result = backend.submit_txt2img(DiffusionParams(prompt="a corgi astronaut, detailed", seed=42)).wait(timeout=120)
    return f"PNG of {result.images[0].size}, seeds {result.seeds}"


@feature("batch with progress")
def progress() -> str:
    backend = connect_to_backend(URL)
    handle = backend.submit_txt2img(
        DiffusionParams(prompt="a lighthouse at dusk", steps=20, width=512, height=512, batch_size=2)
    )
    result = handle.wait(timeout=120, poll_interval=0.2, on_progress=lambda told: seen.append(told.progress or 0.0))
    expect(len(result.images) == 2, "two images")
    return f"two of {result.images[0].size}, {len(seen)} looks, up to {max(seen, default=0):.0%}"


@feature("capabilities and options")
def capabilities() -> str:
    backend = connect_to_backend(URL)
    found = backend.get_capabilities()
    return f"{type(found).__name__}"


@feature("image to image")
def img2img() -> str:
    backend = connect_to_backend(URL)
    image = backend.submit_txt2img(DiffusionParams(prompt="a red apple", seed=1)).wait(timeout=120).images[0]
    try:
        backend.submit_img2img(DiffusionParams(prompt="a green apple", init_images=[image])).wait(timeout=120)
    except (GenerationError, SDBackendError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    return "drawn"
