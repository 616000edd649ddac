"""What clients of the web UI ask at their start: models, and what else there might be and is not.

Lists are empty where Argus has none, so that clients offer nothing that would be refused.
"""

from __future__ import annotations

from typing import Any

import psutil

from app.access import needs
from app.compat.a1111.answers import Embeddings, Lora, Memory, Sampler, Scheduler, Scripts, SdModel, Thing, Upscaler
from app.compat.a1111.blueprint import blueprint
from app.compat.a1111.checkpoints import checkpoints
from core.families import load_family
from core.keys import Scope
from core.loras import Lora as FamilyLora
from core.settings import settings

NONE_HERE = {  # the address, and what it would list
    "lycos": "LyCORIS networks",
    "prompt-styles": "styles",
    "sd-vae": "VAEs to choose from",
    "sd-modules": "modules to choose from",
    "face-restorers": "face restorers",
    "hypernetworks": "hypernetworks",
    "realesrgan-models": "RealESRGAN models",
    "latent-upscale-modes": "ways to upscale latents",
    "script-info": "scripts",
    "extensions": "extensions",
}
AS_IT_IS = ("refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings")
KEPT = ("unload-checkpoint", "reload-checkpoint")


@blueprint.get("/sd-models")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(list[SdModel])  # type: ignore[arg-type]  # APIFlask takes lists; its types do not say so
def list_models() -> list[SdModel]:
    """List models

    The family served, of which Argus chooses a level, and each of its levels.
    """
    return checkpoints(load_family(settings().family))


@blueprint.get("/loras")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(list[Lora])  # type: ignore[arg-type]  # as above
def list_loras() -> list[Lora]:
    """List LoRAs

    Those of the family, which prompts name by `<lora:name:weight>`; a weight that is left out is `preferred weight`.
    """
    family = load_family(settings().family)
    return [Lora(name=one.id, alias=one.id, path=one.path, metadata=_about(one)) for one in family.loras.values()]


def _about(lora: FamilyLora) -> dict[str, Any]:
    """What the web UI keeps in a file beside each, by its names."""
    return {"activation text": ", ".join(lora.words), "preferred weight": lora.weight}


@blueprint.get("/samplers")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(list[Sampler])  # type: ignore[arg-type]  # as above
def list_samplers() -> list[Sampler]:
    """List samplers

    One name: each level brings its own sampler, which its images name.
    """
    return [Sampler(name="Automatic")]


@blueprint.get("/schedulers")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(list[Scheduler])  # type: ignore[arg-type]  # as above
def list_schedulers() -> list[Scheduler]:
    """List noise schedules

    One name: each level brings its own.
    """
    return [Scheduler(name="automatic", label="Automatic")]


@blueprint.get("/upscalers")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(list[Upscaler])  # type: ignore[arg-type]  # as above
def list_upscalers() -> list[Upscaler]:
    """List upscalers

    None, which is the name of the first in the web UI too.
    """
    return [Upscaler(name="None")]


@blueprint.get("/scripts")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(Scripts)
def list_scripts() -> Scripts:
    """List scripts

    There are none.
    """
    return Scripts()


@blueprint.get("/embeddings")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(Embeddings)
def list_embeddings() -> Embeddings:
    """List textual inversions

    There are none.
    """
    return Embeddings()


@blueprint.get("/memory")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(Memory)
def read_memory() -> Memory:
    """Read memory

    Of the machine that answers. The workers and their devices are in `/v1/plan`.
    """
    memory = psutil.virtual_memory()
    return Memory(ram={"free": memory.available, "used": memory.used, "total": memory.total})


@blueprint.get("/cmd-flags")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.doc(responses={200: "Flags"})
def read_flags() -> dict[str, Any]:
    """Read command-line flags

    What clients look for: that the API is on.
    """
    return {"api": True, "nowebui": False}


def _add_empty_list(address: str, things: str) -> None:
    @blueprint.get(f"/{address}", endpoint=f"list_{address.replace('-', '_')}")
    @needs(Scope.READ, Scope.SUBMIT)
    @blueprint.output(list[Thing])  # type: ignore[arg-type]  # as above
    @blueprint.doc(summary=f"List {things}", description="There are none: the list is empty.")
    def empty() -> list[Thing]:
        return []


def _add_nothing_to_do(address: str, why: str) -> None:
    @blueprint.post(f"/{address}", endpoint=address.replace("-", "_"))
    @needs(Scope.SUBMIT)
    @blueprint.doc(summary=f"Nothing to do: {address}", description=why, responses={200: "Nothing was changed"})
    def nothing() -> dict[str, Any]:
        return {}


for _address, _things in NONE_HERE.items():
    _add_empty_list(_address, _things)
for _address in AS_IT_IS:
    _add_nothing_to_do(_address, "What is served is read from the family's file whenever it changes.")
for _address in KEPT:
    _add_nothing_to_do(_address, "Which models workers hold, the scheduler decides; see `/v1/plan`.")
