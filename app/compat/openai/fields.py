"""Fields that OpenAI's types do not have: which are ours by another name, which are refused, which mean nothing here.

Clients send what their other services take: tags, time-outs, ids, options of other servers. What cannot change the
image is accepted and named in the answer's `argus.ignored`; a name nobody knows counts as such. What would have made
another image is refused, unless it is off: a picture that is not what was asked for is worse than an error
(docs/decisions/0081-fields-of-other-servers.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from core.errors import BadInput

#: Names that other servers give to options of ours.
ALIASES = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "cfg_scale": "guidance",
    "num_images": "n",
    "num_images_per_prompt": "n",
    "num_outputs": "n",
    "batch_size": "n",
    "image_size": "size",
    "width x height": "size",
}
OFF = (None, False, 0, "", "none", "off", "no", "false", "disabled")
LIKE = 0.85  # how alike a name is to one of ours that was surely meant

_FROM_IMAGES = "Here images are made from text: one to begin with goes to `POST /v1/images/edits`."
_WEIGHTS = "The weights are those of the family served: `GET /v1/models` lists what `model` may name."
_SAMPLING = "Each level brings its own sampling; `steps`, `guidance` and `seed` are what can be asked."
_PIXELS = "Send `size` as WIDTHxHEIGHT."
_PROMPT = "`prompt` is drawn as it is sent: send one, worded as you want it."
_AFTERWARDS = "An image leaves as it was drawn, in the size of `size`."

#: Words of names that would have made another image, and what to do instead.
CHANGING: tuple[tuple[str, str], ...] = (
    ("image images img imgs mask masks init latents inpaint inpainting outpaint outpainting controlnet controlnets "
     "adapter adapters ipadapter pose denoise denoising strength noise", _FROM_IMAGES),
    ("lora loras loraweights embedding embeddings hypernetwork hypernetworks vae inversion checkpoint refiner unet "
     "weights", _WEIGHTS),
    ("sampler samplers scheduler sigmas eta clip cfg guidance steps subseed seeds variation tiling shift freeu pag",
     _SAMPLING),
    ("width height size sizes aspect ratio resolution megapixels", _PIXELS),
    ("prompts prompt2 rewriter rewrite enhance enhancement enhancer upsampling expansion expand extend optimizer "
     "optimize magic translate styles preset scripts script", _PROMPT),
    ("upscale upscaler upscaling hires hr highres face faces background transparent transparency watermark crop scale",
     _AFTERWARDS),
    ("frame frames fps video svg gif animation", "Still pictures only, as png, jpeg or webp."),
)  # fmt: skip
ADVICE = {word: advice for words, advice in CHANGING for word in words.split()}
#: Whole names of the same kind, whose words mean other things elsewhere.
NAMES = {
    **dict.fromkeys(("reference", "references", "control", "depth", "depth_map", "subject"), _FROM_IMAGES),
    **dict.fromkeys(("prompt_2", "prompt_3", "prompt_strength"), _PROMPT),
    "level": "Name the level in `model`.",
    **dict.fromkeys(("style_id", "style_name", "style_codes", "style_type"), _PROMPT),
}


def renamed(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A body with our names for options of ours; raises `BadInput` where both names are sent, and differ."""
    found = dict(sent)
    if None not in (found.get("width"), found.get("height")):
        found["width x height"] = f"{found.pop('width')}x{found.pop('height')}"
    for name, ours in ALIASES.items():
        if found.get(name) is None:
            continue
        if found.get(ours) not in (None, found[name]):
            raise BadInput(f"`{name}` and `{ours}` are the same here: send one of them.", field=name.split()[0])
        found[ours] = found.pop(name)
    return found


def check_unknown(name: str, value: Any, ours: tuple[str, ...]) -> None:
    """Raise `BadInput` for a field that would have made another image, or that is surely one of ours misspelt."""
    if _is_off(value):
        return
    if advice := _advice(name):
        raise BadInput(f"`{name}` would make another image, and is not there: leave it out. {advice}", field=name)
    if alike := get_close_matches(name.lower(), ours, n=1, cutoff=LIKE):
        raise BadInput(f"There is no field `{name}`. Is `{alike[0]}` meant?", field=name)


def _is_off(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in OFF
    return value in OFF or value in ([], {})


def _advice(name: str) -> str | None:
    """What to do instead of sending this field; none where it changes nothing."""
    if name.lower() in NAMES:
        return NAMES[name.lower()]
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower()
    return next((ADVICE[word] for word in re.split(r"[^a-z0-9]+", words) if word in ADVICE), None)
