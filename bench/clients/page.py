"""docs/clients.md: how to point a client here, and what each did when it was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTING = """# Clients

After this page the programs that you have draw with Argus. Its address in a default installation is
`http://127.0.0.1:8080`; no key is needed there, and clients that want one are given any text.
Where keys are demanded: [keys.md](keys.md).

| client | where to point it |
| --- | --- |
| whatever speaks OpenAI's Images API | base URL `http://127.0.0.1:8080/v1`, any key, model `auto` or a level |
| whatever speaks AUTOMATIC1111's API | base URL `http://127.0.0.1:8080` |
| Open WebUI | Settings, Images: engine *Default (OpenAI)* with the `/v1` URL, or *Automatic1111* with the bare URL |
| SillyTavern | Image Generation: source *Stable Diffusion Web UI (AUTOMATIC1111)*, bare URL |
| Krita | plug-ins of the web UI: bare URL; *krita-ai-diffusion* needs ComfyUI, *auto-sd-paint-ext* an extension |
| your own program | `/docs` has the native API; `/openapi.json` generates a client |

`model` (OpenAI) and `sd_model_checkpoint` (A1111) take `auto`, the family, or a level by name; every answer says under
`argus` which level drew the image and why. What a client sends that cannot change the image is accepted and named in
`argus.ignored`; what would change it and is not to be had here is refused with its name.
`<lora:name:0.8>` in a prompt draws with a LoRA, in families that have some ([prompts](prompts.md));
`GET /sdapi/v1/loras` lists them. `(red:1.2)` is a weight in `sd15` and `sdxl`, text in other families.
"""
OUTCOMES = {"works": "works", "refused": "clear refusal", "fails": "**fails**"}


def page(found: Mapping[str, Any]) -> str:
    """The whole page, from what the scripts printed."""
    run, tried = found["run"], found["clients"]
    features = [feature for client in tried for feature in client["features"]]
    count = {outcome: sum(feature["outcome"] == outcome for feature in features) for outcome in OUTCOMES}
    first = sum(bool(client["features"]) and client["features"][0]["outcome"] == "works" for client in tried)
    return "\n".join(
        [
            POINTING,
            "## Tried",
            "",
            f"`{run['command']}`, {run['measured']}, on {run['machine']}: each client in an environment of its own, "
            f"unchanged, against one Argus as `make up` starts it (family {run['family']} {run['family_version']}). "
            f"First calls that drew: {first} of {len(tried)}. Of {len(features)} features {count['works']} work, "
            f"{count['refused']} are refused in words that the client shows, {count['fails']} fail.",
            "",
            "| client | feature | outcome | seen |",
            "| --- | --- | --- | --- |",
            *(_row(client, feature) for client in tried for feature in client["features"]),
            "",
        ]
    )


def _row(client: Mapping[str, Any], feature: Mapping[str, Any]) -> str:
    seen = " ".join(str(feature["detail"]).split())[:220].replace("|", "\\|")
    name = f"{client['name']} {client['version']}"
    return f"| {name} | {feature['feature']} | {OUTCOMES[feature['outcome']]} | {seen} |"
