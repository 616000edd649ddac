"""Families as data: which models can stand in for each other, and the levels that use them.

A family is one TOML file under `families/`. It lists models (weights and the pipeline adapter that runs them),
levels (a strategy with its parameter, on one model), defaults and limits of a request, and the scorer that judges
its images. Nothing here imports torch: web, beat and scheduler read the same file as the workers.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from core.checked_files import changed_at
from core.distillations import RECIPES, Distilled, Recipe
from core.emphasis import weights_read_by
from core.errors import BadCalibration, BadFamily, UnknownFamily, UnknownLevel, UnknownLora
from core.levels import Level, composed
from core.loras import PICKLED, PIPELINES, Lora, read_loras
from core.refusals import first_place, first_refusal
from core.reuse_plans import QUANTIZATION, read_plan
from core.settings import ROOT
from core.subspaces import read_subspace

FAMILIES = ROOT / "families"

#: int8: weights in 8 bits; w8a8: weights and activations in int8; fp8: both in float8 (Ada, Hopper and later GPUs).
Quantization = Literal["int8", "w8a8", "fp8"]
Size = tuple[int, int]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Defaults(_Frozen):
    """What a request gets where it says nothing."""

    steps: int = Field(gt=0)
    guidance: float = Field(ge=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Limits(_Frozen):
    """What a request may ask for. `sizes` are (width, height) in pixels; ranges are inclusive."""

    steps: tuple[int, int]
    guidance: tuple[float, float]
    sizes: tuple[Size, ...]
    prompt_chars: int = 4000


class Weights(_Frozen):
    """Where weights are."""

    path: str  # folder in the repository, absolute path, or hub name

    @property
    def location(self) -> str:
        """The folder, when the path names one in the repository; else the path or hub name as written."""
        local = ROOT / self.path
        return str(local) if local.exists() else self.path


class Model(Weights):
    """Weights a worker can hold."""

    id: str
    pipeline: str  # adapter name in workers/pipelines
    scheduler: str | None = None  # replaces the sampler that the checkpoint names
    variant: str | None = None  # e.g. "fp16"
    revision: str | None = None
    decoder_dtype: Literal["float32", "bfloat16"] | None = None  # None: float32 where the checkpoint asks for it
    quantization: Quantization | None = None  # of the denoiser's linear layers, when it is loaded
    prompt_tokens: int | None = Field(default=None, gt=0)  # read of a prompt; None: as usual for its pipeline class
    distilled: Distilled | None = None  # to few steps, by whose way: that says its sampler
    lora: str | None = None  # a file of safetensors that is added to its weights when it is loaded
    lora_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @property
    def recipe(self) -> Recipe | None:
        """What it was distilled for, if it was."""
        return RECIPES[self.distilled] if self.distilled else None

    @property
    def sampler(self) -> str | None:
        """The class of the sampler that replaces the checkpoint's, if one does."""
        return self.recipe.sampler if self.recipe else self.scheduler

    @property
    def added_lora(self) -> Lora | None:
        """The LoRA that is added to its weights."""
        return Lora(id=self.id, path=self.lora, models=(self.id,), sha256=self.lora_sha256) if self.lora else None

    @property
    def scheduler_name(self) -> str | None:
        """The class of its sampler, as the family file or the model's own folder says; None of a model of the hub."""
        config = Path(self.location) / "scheduler" / "scheduler_config.json"
        return self.sampler or (json.loads(config.read_text())["_class_name"] if config.is_file() else None)

    @property
    def sha256(self) -> str | None:
        """Of its weights, where the list of checksums beside its folder says; none of a model of the hub."""
        folder = Path(self.location)
        return _checksums(folder.parent / "checksums.json").get(f"{folder.name}/diffusion_pytorch_model.safetensors")

    @property
    def autoencoder_sha256(self) -> str | None:
        """Of the weights of its autoencoder, as `sha256`."""
        listed = _checksums(Path(self.location).parent / "checksums.json")
        return listed.get("codec/diffusion_pytorch_model.safetensors")

    @property
    def short_hash(self) -> str | None:
        """The first ten digits of `sha256`, by which the web UI of AUTOMATIC1111 names checkpoints."""
        return self.sha256[:10] if self.sha256 else None


@lru_cache(maxsize=16)
def _checksums(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


class Scorer(Weights):
    """Who judges image against prompt."""

    kind: Literal["embedded-clip", "hf-clip"]


class Family(_Frozen):
    """A set of models that can stand in for each other, and the levels they are offered at."""

    id: str
    title: str
    version: str
    reference: str
    defaults: Defaults
    limits: Limits
    models: dict[str, Model]
    levels: dict[str, Level]
    scorer: Scorer
    bridge: Weights | None = None  # that translates pictures (`workers.kinds.translation`)
    loras: dict[str, Lora] = {}
    prompt_weights: Literal["compel"] | None = None  # of words, as `(red:1.2)`; None: they are text
    withheld: dict[str, str] = {}  # levels that are not offered, and why

    @field_validator("levels", mode="before")
    @classmethod
    def _some_are_made_of_others(cls, levels: Any) -> Any:
        entries = isinstance(levels, dict) and all(isinstance(entry, dict) for entry in levels.values())
        return composed(levels) if entries else levels

    @field_validator("loras")
    @classmethod
    def _loras_fit_models_that_exist_and_the_reference_among_them(
        cls, loras: dict[str, Lora], info: ValidationInfo
    ) -> dict[str, Lora]:
        models, levels = info.data.get("models", {}), info.data.get("levels", {})
        reference = levels.get(info.data.get("reference"))
        for lora in loras.values():
            for model in lora.models:
                if why := _takes_no_lora(models.get(model)):
                    raise ValueError(f"{lora.id!r} is for model {model!r}, which {why}")
            if reference is not None and reference.model not in lora.models:
                raise ValueError(f"{lora.id!r} is not for {reference.model!r}, the model of the reference level")
        return loras

    @field_validator("prompt_weights")
    @classmethod
    def _all_models_read_weights_of_words(cls, kind: str | None, info: ValidationInfo) -> str | None:
        models = info.data.get("models", {}).values()
        return kind and weights_read_by({model.id: model.pipeline for model in models}, kind)

    @model_validator(mode="after")
    def _what_is_distilled_is_drawn_as_it_was_made_for(self) -> Family:
        for model in self.models.values():
            if model.lora and model.pipeline not in PIPELINES:
                raise ValueError(f"models.{model.id}.lora: {model.pipeline!r} takes none; {', '.join(PIPELINES)} do")
            if model.lora and model.lora.lower().endswith(PICKLED):
                raise ValueError(f"models.{model.id}.lora: {model.lora!r} is a pickle: use a file of safetensors")
            if model.recipe and model.scheduler not in (None, model.sampler):
                raise ValueError(f"models.{model.id}.scheduler is to be {model.sampler}, of {model.distilled} models")
        for level in self.levels.values():
            recipe = self.models[level.model].recipe if level.model in self.models else None
            guidance = self.defaults.guidance if level.guidance is None else level.guidance
            steps = level.steps if level.fixed_steps else None
            if recipe and (why := recipe.refuses(steps, guidance, self.models[level.model].lora is not None)):
                raise ValueError(f"levels.{level.id}.{why}")
        return self

    @model_validator(mode="after")
    def _levels_name_models_that_exist(self) -> Family:
        for level in self.levels.values():
            if level.model not in self.models:
                raise ValueError(f"level {level.id!r} uses model {level.model!r}, which [models] does not list")
        if self.reference not in self.levels:
            raise ValueError(f"reference {self.reference!r} is not one of the levels")
        return self

    def level(self, level_id: str) -> Level:
        """The level by its id; raises `UnknownLevel` naming those there are."""
        try:
            return self.levels[level_id]
        except KeyError:
            known, why = ", ".join(self.levels), self.withheld.get(level_id)
            what = f"does not offer level {level_id!r}: {why}" if why else f"has no level {level_id!r}"
            raise UnknownLevel(f"Family {self.id!r} {what}. Use auto or one of: {known}.", field="level") from None

    def lora(self, name: str) -> Lora:
        """The LoRA by its name; raises `UnknownLora` naming those there are."""
        try:
            return self.loras[name]
        except KeyError:
            known = ", ".join(self.loras) or "it has none"
            raise UnknownLora(f"Family {self.id!r} has no LoRA {name[:64]!r}. Known: {known}.", field="loras") from None

    def draws(self, level_id: str, loras: str | None) -> bool:
        """Whether a level can draw with these LoRAs of a row: all are for its model, and it reuses no features."""
        if not loras:
            return True
        level, named = self.levels.get(level_id), [self.loras.get(use.name) for use in read_loras(loras)]
        return bool(level and not level.reuses_features and all(lora and level.model in lora.models for lora in named))

    def queue(self, level_id: str) -> str:
        """Name of the Celery queue that carries this level."""
        return queue_name(self.id, self.level(level_id).id)

    @property
    def model_of(self) -> dict[str, str]:
        """The model of each level."""
        return {level.id: level.model for level in self.levels.values()}

    @property
    def offered(self) -> dict[str, Model]:
        """The models that levels run on. What no level names is loaded by nobody, unless asked for by its id."""
        return {name: model for name, model in self.models.items() if self.levels_of(name)}

    def levels_of(self, model_id: str) -> list[Level]:
        """The levels that run on a model, in file order."""
        return [level for level in self.levels.values() if level.model == model_id]

    def lengths(
        self, levels: Iterable[str], steps: int, width: int, height: int, share: float = 1.0
    ) -> tuple[float, ...]:
        """What a request takes at each of these levels, relative to one of the usual steps and size, by steps × pixels;
        empty where it is such a one. `share` multiplies it: of its steps that it runs, or what each of them takes."""
        usual = self.defaults
        share *= width * height / (usual.width * usual.height)
        if steps == usual.steps and share == 1:
            return ()
        forwards = [[self.level(level).forwards(n, usual.steps) for n in (steps, usual.steps)] for level in levels]
        return tuple(share * own / usually for own, usually in forwards)

    def queues_of(self, model_ids: list[str]) -> list[str]:
        """The queues a worker serves that holds these models."""
        return [self.queue(level.id) for model in model_ids for level in self.levels_of(model)]


def _takes_no_lora(model: Model | None) -> str:
    """Why not; empty where it does."""
    if model is None:
        return "[models] does not list"
    if model.pipeline not in PIPELINES:
        return f"has the pipeline {model.pipeline!r}; LoRAs are taken by {', '.join(PIPELINES)}"
    return "is quantised: LoRAs act on whole weights" if model.quantization else ""


def queue_name(family_id: str, level_id: str) -> str:
    """Name of the Celery queue that carries a level of a family."""
    return f"t2i.{family_id}.{level_id}"


def load_family(name: str) -> Family:
    """Read a family by id (a file of `families/`) or by path to a TOML file.

    Raises:
        UnknownFamily: there is no such file.
        BadFamily: the file does not parse, or names things that do not exist; the message says where.
    """
    path = Path(name) if name.endswith(".toml") else FAMILIES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FAMILIES.glob("*.toml")))
        raise UnknownFamily(f"There is no family {name!r}. Known: {known}.", field="family")
    file = (str(path), path.stat().st_mtime_ns)
    plans = [level.calibration_location for level in _read(*file).levels.values() if level.calibration]
    return _as_calibrated(*file, tuple(map(changed_at, plans)))


@lru_cache(maxsize=16)
def _as_calibrated(path: str, changed: int, _plans_changed: tuple[int, ...]) -> Family:
    """Without the levels whose calibration is not there, is damaged, or is of something else; it says why."""
    family = _read(path, changed)
    found = {name: _misfit(family, level) for name, level in family.levels.items() if level.calibration}
    withheld = {name: why for name, why in found.items() if why}
    levels = {name: level for name, level in family.levels.items() if name not in withheld}
    return family.model_copy(update={"levels": levels, "withheld": withheld})


def _misfit(family: Family, level: Level) -> str | None:
    """Why its calibration is of no use to a level; None where it is."""
    try:
        return _of_plan(family, level) if "cq" in level.strategies else _of_subspace(family, level)
    except BadCalibration as error:
        return error.message


def _of_plan(family: Family, level: Level) -> str | None:
    plan, model = read_plan(level.calibration_location), family.models[level.model]
    if QUANTIZATION[plan.bits] != model.quantization:
        return f"its calibration is of weights in {plan.bits}, the model's quantization is {model.quantization}"
    usual = family.defaults.model_dump(include={"steps", "width", "height"})
    now = {"family": family.id, "family_version": family.version, "model": model.id, "weights": model.sha256, **usual}
    of = plan.of.model_dump()
    now["scheduler"] = model.scheduler_name or of["scheduler"]  # the worker that loads a model of the hub looks
    return _differs(of, now)


def _of_subspace(family: Family, level: Level) -> str | None:
    of, usual = read_subspace(level.calibration_location).of, family.defaults.model_dump(include={"width", "height"})
    now = {"family": family.id, "family_version": family.version, **usual}
    return _differs(of.model_dump(), {**now, "autoencoder": family.models[level.model].autoencoder_sha256})


def _differs(of: dict[str, Any], now: dict[str, Any]) -> str | None:
    differs = [f"{name.replace('_', ' ')} {of[name]}, not {now[name]}" for name in now if of[name] != now[name]]
    return f"its calibration is of {'; '.join(differs)}" if differs else None


@lru_cache(maxsize=16)
def _read(path: str, _changed: int) -> Family:
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        for section in ("models", "levels", "loras"):
            for key, entry in data.get(section, {}).items():
                entry["id"] = key
        return Family(**data)
    except tomllib.TOMLDecodeError as error:
        raise BadFamily(f"{path}: {error}", field="toml") from error
    except ValidationError as error:
        place = first_place(error, "levels")
        raise BadFamily(f"{path}: {place}: {first_refusal(error)}", field=place) from error
